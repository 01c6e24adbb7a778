// A command line: options with a value, flags, and the words that remain.
namespace Nfrx;

/// <summary>A mistake on the command line.</summary>
public sealed class UsageException(string message) : Exception(message);

public sealed class Arguments
{
    private readonly Dictionary<string, List<string>> _values = [];

    /// <summary>Everything after <c>--</c> is a word.</summary>
    public Arguments(IReadOnlyList<string> arguments, IReadOnlySet<string> options, IReadOnlySet<string> flags)
    {
        var words = new List<string>();
        for (var i = 0; i < arguments.Count; i++)
        {
            var argument = arguments[i];
            if (argument == "--")
            {
                words.AddRange(arguments.Skip(i + 1));
                break;
            }
            if (!argument.StartsWith("--")) words.Add(argument);
            else if (flags.Contains(argument)) Add(argument, "");
            else if (!options.Contains(argument)) throw new UsageException($"there is no {argument}; try --help");
            else if (++i == arguments.Count) throw new UsageException($"{argument} wants a value");
            else Add(argument, arguments[i]);
        }
        Words = words;
    }

    public IReadOnlyList<string> Words { get; }

    public bool Has(string flag) => _values.ContainsKey(flag);

    public string? Get(string option) => _values.TryGetValue(option, out var values) ? values[^1] : null;

    public IReadOnlyList<string> All(string option) => _values.GetValueOrDefault(option) ?? [];

    public int Number(string option, int otherwise, int least, int most)
    {
        if (Get(option) is not { } text) return otherwise;
        if (int.TryParse(text, out var value) && value >= least && value <= most) return value;
        throw new UsageException($"{option} wants a number from {least} to {most}");
    }

    private void Add(string option, string value)
    {
        if (!_values.TryGetValue(option, out var values)) _values[option] = values = [];
        values.Add(value);
    }
}
