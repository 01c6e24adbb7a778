// The work of the example workers: any command that reads its stdin and writes its stdout.
using System.ComponentModel;
using System.Diagnostics;
using System.Text.Json.Nodes;

namespace Nfrx;

public static class Filter
{
    /// <summary>
    /// Runs a command: what <paramref name="feed"/> writes is its stdin, its stdout goes to the file <paramref name="output"/>. It
    /// learns of its job from JOB_ID, JOB_TYPE and JOB_METADATA; it does not get the broker's keys.
    /// </summary>
    public static async Task RunAsync(
        IReadOnlyList<string> command, Func<Func<ReadOnlyMemory<byte>, Task>, Task> feed, string output, JobTask task)
    {
        var start = new ProcessStartInfo(command[0])
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            UseShellExecute = false,
        };
        foreach (var argument in command.Skip(1)) start.ArgumentList.Add(argument);
        start.Environment.Remove("API_KEY");
        start.Environment.Remove("CLIENT_KEY");
        start.Environment["JOB_ID"] = task.Claim.JobId;
        start.Environment["JOB_TYPE"] = task.Claim.Type;
        start.Environment["JOB_METADATA"] = (task.Claim.Metadata ?? new JsonObject()).ToJsonString();

        using var child = Start(start);
        try
        {
            await using var file = File.Create(output);
            var saved = child.StandardOutput.BaseStream.CopyToAsync(file, task.Stop);
            await FeedAsync(child.StandardInput.BaseStream, feed, task.Stop);
            await saved;
            await child.WaitForExitAsync(task.Stop);
        }
        finally
        {
            if (!child.HasExited) child.Kill(entireProcessTree: true);
        }
        if (child.ExitCode != 0) throw new JobFailedException("work_failed", $"{command[0]} ended with {child.ExitCode}");
    }

    private static Process Start(ProcessStartInfo start)
    {
        try
        {
            return Process.Start(start)!;
        }
        catch (Win32Exception error)
        {
            throw new JobFailedException("work_failed", $"{start.FileName} could not be started: {error.Message}", error);
        }
    }

    /// <summary>Writes as fast as the command reads. It may stop reading: the rest then goes nowhere.</summary>
    private static async Task FeedAsync(Stream stdin, Func<Func<ReadOnlyMemory<byte>, Task>, Task> feed, CancellationToken stop)
    {
        var listens = true;
        async Task Quietly(Func<Task> write)
        {
            if (!listens) return;
            try
            {
                await write();
            }
            catch (IOException)
            {
                listens = false;
            }
        }

        await feed(chunk => Quietly(async () => await stdin.WriteAsync(chunk, stop)));
        await Quietly(async () => await stdin.DisposeAsync());
    }
}
