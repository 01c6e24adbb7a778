// What the clients send and what they do with results.
namespace Nfrx;

public static class Files
{
    /// <summary>Writes what comes to a file, or to stdout. A file is there under its name only when it is whole.</summary>
    public static async Task SaveAsync(string? path, Incoming incoming, CancellationToken stop)
    {
        if (path is null)
        {
            await using var stdout = Console.OpenStandardOutput();
            await incoming.CopyToAsync(async chunk => await stdout.WriteAsync(chunk, stop), stop);
            return;
        }
        var partial = $"{path}.part";
        try
        {
            await using (var file = File.Create(partial))
            {
                await incoming.CopyToAsync(async chunk => await file.WriteAsync(chunk, stop), stop);
            }
            File.Move(partial, path, overwrite: true);
        }
        catch
        {
            File.Delete(partial);
            throw;
        }
    }
}

/// <summary>An exchange that says how it goes.</summary>
public abstract class SaidExchange(Action<string> note) : IExchange
{
    public abstract Task<(HttpContent Body, string ContentType)> PayloadAsync(Channel channel);

    public abstract Task ResultAsync(Channel channel, Incoming incoming, CancellationToken stop);

    public void OnStatus(Job job) => note(job.Progress is { } progress ? $"{job.Status} {progress.ToJsonString()}" : job.Status);

    public void OnTrouble(Channel channel, NfrxException error) => note($"{channel.Key}: {error.Message}");
}

/// <summary>A file as it is.</summary>
public sealed class FileExchange(Arguments arguments, Action<string> note) : SaidExchange(note)
{
    private readonly Action<string> _note = note;

    public override Task<(HttpContent Body, string ContentType)> PayloadAsync(Channel channel)
    {
        Stream body = arguments.Get("--payload") is { } path ? File.OpenRead(path) : new MemoryStream();
        _note($"sending {body.Length} bytes");
        return Task.FromResult<(HttpContent, string)>(
            (new StreamContent(body), arguments.Get("--content-type") ?? "application/octet-stream"));
    }

    public override Task ResultAsync(Channel channel, Incoming incoming, CancellationToken stop) =>
        Files.SaveAsync(arguments.Get("--result"), incoming, stop);
}

/// <summary>A payload and a result that the broker cannot read.</summary>
public sealed class SealedExchange(
    string jobId, string type, Identity identity, string nonce, byte[] body, Arguments arguments, Action<string> note)
    : SaidExchange(note)
{
    private readonly Action<string> _note = note;
    private readonly IReadOnlyList<string> _pins = arguments.All("--peer");

    /// <summary>The workers that were sent the payload: only they can know the result.</summary>
    private readonly HashSet<string> _workers = [];

    public bool Received { get; private set; }

    public override Task<(HttpContent Body, string ContentType)> PayloadAsync(Channel channel)
    {
        var (peer, theirs) = Secure.TakeOffer(channel.Properties, _pins);
        lock (_workers) _workers.Add(peer.Fingerprint);
        _note($"worker certificate {peer.Fingerprint}{(_pins.Count > 0 ? "" : ", not pinned")}");
        var purpose = new Purpose(jobId, type, "payload", channel.Key, theirs);
        var contentType = arguments.Get("--content-type") ?? "application/octet-stream";
        var sealedBytes = Secure.SealFor(identity, peer, purpose, contentType, body);
        _note($"sending {sealedBytes.Length} bytes");
        return Task.FromResult<(HttpContent, string)>((new ByteArrayContent(sealedBytes), Secure.MediaType));
    }

    public override async Task ResultAsync(Channel channel, Incoming incoming, CancellationToken stop)
    {
        var (peer, _) = Secure.TakeOffer(channel.Properties, _pins);
        lock (_workers)
        {
            if (!_workers.Contains(peer.Fingerprint)) throw new CmsException("the result comes from a worker that had no payload");
        }
        var purpose = new Purpose(jobId, type, "result", channel.Key, nonce);
        var (_, result) = await Secure.OpenFromAsync(identity, peer, purpose, incoming, stop);
        if (arguments.Get("--result") is { } path)
        {
            await File.WriteAllBytesAsync(path, result, stop);
        }
        else
        {
            await using var stdout = Console.OpenStandardOutput();
            await stdout.WriteAsync(result, stop);
        }
        Received = true;
    }
}
