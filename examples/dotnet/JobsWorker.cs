// A worker: claims jobs, keeps their leases, takes their payloads, gives their results.
using System.Text.Json.Nodes;

namespace Nfrx;

/// <param name="ClaimId">Says in every call which claim it belongs to. The 0.9 series gives none.</param>
public sealed record Claim(string JobId, string Type, JsonObject? Metadata, string? ClaimId);

public sealed record WorkerOptions
{
    /// <summary>Types of jobs to take; all when empty.</summary>
    public required IReadOnlyList<string> Types { get; init; }

    public string WorkerId { get; init; } = $"{Environment.MachineName}-{Environment.ProcessId}";

    public string? WorkerGroup { get; init; }

    /// <summary>Seconds without a sign of life after which the broker gives the job to somebody else.</summary>
    public required int Lease { get; init; }

    /// <summary>Jobs at the same time, when polling.</summary>
    public required int Concurrency { get; init; }

    /// <summary>Take jobs from a stream of events, one after the other, instead of asking for each.</summary>
    public required bool Stream { get; init; }

    /// <summary>End after one job.</summary>
    public required bool Once { get; init; }

    public required Action<string> Log { get; init; }
}

/// <summary>Thrown by a handler to end a job as failed, with a word for programs and a sentence for people.</summary>
public sealed class JobFailedException(string code, string message, Exception? cause = null) : Exception(message, cause)
{
    public string Code => code;
}

/// <summary>One claimed job.</summary>
/// <param name="stop">Aborts when the job was canceled, or is no longer this worker's.</param>
public sealed class JobTask(NfrxApi api, Claim claim, CancellationToken stop)
{
    /// <summary>How often a transfer that broke is begun anew, on a channel of its own.</summary>
    private const int TransferTries = 3;

    private sealed record WorkerChannel(string? ReaderUrl, string? WriterUrl);

    public Claim Claim => claim;

    public CancellationToken Stop => stop;

    /// <summary>Asks the client for the payload and hands it to <paramref name="use"/>; again when the transfer breaks.</summary>
    public Task<T> TakePayloadAsync<T>(Func<Incoming, Task<T>> use, JsonObject? properties = null) =>
        OnChannelAsync(
            "payload",
            properties,
            async channel =>
            {
                using var incoming = await api.ReceiveAsync(channel.ReaderUrl!, stop);
                return await use(incoming);
            });

    /// <summary>Gives the client the result; again, with another body, when the transfer breaks.</summary>
    public Task GiveResultAsync(Func<HttpContent> body, string contentType, JsonObject? properties = null) =>
        OnChannelAsync(
            "result",
            properties,
            async channel =>
            {
                using var content = body();
                await api.SendAsync(channel.WriterUrl!, content, contentType, stop);
                return true;
            });

    /// <summary>Says what the job is doing, or how it ended.</summary>
    public Task ReportAsync(string state, JobError? error = null) =>
        PostAsync<JsonObject>("status", new { state, error, claim.ClaimId });

    public Task HeartbeatAsync() => PostAsync<JsonObject>("heartbeat", new { claim.ClaimId });

    private async Task<T> OnChannelAsync<T>(string end, JsonObject? properties, Func<WorkerChannel, Task<T>> transfer)
    {
        for (var attempt = 1; ; attempt++)
        {
            var channel = await PostAsync<WorkerChannel>(end, new { properties, claim.ClaimId });
            try
            {
                return await transfer(channel!);
            }
            catch (NfrxException) when (attempt < TransferTries)
            {
            }
        }
    }

    private Task<T?> PostAsync<T>(string what, object body)
        where T : class => api.PostAsync<T>($"/api/jobs/{Uri.EscapeDataString(claim.JobId)}/{what}", body, stop);
}

public sealed class JobsWorker(NfrxApi api, WorkerOptions options, Func<JobTask, Task> handle)
{
    private const int PollSeconds = 30;

    /// <summary>Claims jobs and has them handled, until <paramref name="stop"/>; jobs under way are finished first.</summary>
    public async Task RunAsync(CancellationToken stop)
    {
        try
        {
            if (options.Stream) await ListenAsync(stop);
            else await Task.WhenAll(Enumerable.Range(0, options.Once ? 1 : options.Concurrency).Select(_ => PollAsync(stop)));
        }
        catch (OperationCanceledException) when (stop.IsCancellationRequested)
        {
        }
    }

    private async Task PollAsync(CancellationToken stop)
    {
        var body = new
        {
            options.Types,
            MaxWaitSeconds = PollSeconds,
            LeaseSeconds = options.Lease,
            options.WorkerId,
            options.WorkerGroup,
        };
        while (!stop.IsCancellationRequested)
        {
            // A worker outlives its broker's absence, however long that is.
            if (await api.PostAsync<Claim>("/api/jobs/claim", body, stop, tries: int.MaxValue) is not { } claim) continue;
            await RunJobAsync(claim);
            if (options.Once) return;
        }
    }

    private async Task ListenAsync(CancellationToken stop)
    {
        var query = $"worker_id={Uri.EscapeDataString(options.WorkerId)}&lease_seconds={options.Lease}";
        if (options.WorkerGroup is { } group) query += $"&worker_group={Uri.EscapeDataString(group)}";
        if (options.Types.Count > 0) query += $"&types={Uri.EscapeDataString(string.Join(',', options.Types))}";
        var running = new List<Task>();
        try
        {
            await foreach (var happened in api.EventsAsync($"/api/jobs/stream?{query}", stop))
            {
                if (happened.Event != "job") continue;
                running.RemoveAll(task => task.IsCompleted);
                var job = RunJobAsync(happened.As<Claim>());
                running.Add(job);
                if (!options.Once) continue;
                // A stream that ends before its worker has called about a job gives the job back.
                await job;
                return;
            }
        }
        finally
        {
            await Task.WhenAll(running);
        }
    }

    /// <summary>One job from its claim to its end. Never throws.</summary>
    private async Task RunJobAsync(Claim claim)
    {
        using var lost = new CancellationTokenSource();
        using var done = new CancellationTokenSource();
        var task = new JobTask(api, claim, lost.Token);
        NfrxException? loss = null;

        async Task KeepLeaseAsync()
        {
            using var timer = new PeriodicTimer(TimeSpan.FromSeconds(options.Lease / 3.0));
            try
            {
                while (await timer.WaitForNextTickAsync(done.Token))
                {
                    try
                    {
                        await task.HeartbeatAsync();
                    }
                    catch (NfrxException error) when (IsLost(error))
                    {
                        loss = error;
                        lost.Cancel();
                        return;
                    }
                    catch (NfrxException error) when (error.Status == 404)
                    {
                        return; // A broker that has no heartbeats (the 0.9 series) has no leases either.
                    }
                    catch (NfrxException)
                    {
                        // The next one may get through.
                    }
                }
            }
            catch (OperationCanceledException)
            {
            }
        }

        options.Log($"{claim.JobId}: claimed ({claim.Type})");
        var heart = KeepLeaseAsync();
        try
        {
            await handle(task);
            await task.ReportAsync("completed");
            options.Log($"{claim.JobId}: completed");
        }
        catch (Exception thrown)
        {
            var error = loss ?? thrown;
            if (IsLost(error)) options.Log($"{claim.JobId}: given up: {error.Message}");
            else await FailAsync(task, error);
        }
        finally
        {
            done.Cancel();
            await heart;
        }
    }

    private async Task FailAsync(JobTask task, Exception error)
    {
        options.Log($"{task.Claim.JobId}: failed: {error.Message}");
        var code = error switch
        {
            JobFailedException failed => failed.Code,
            NfrxException => "transfer_failed",
            _ => "worker_error",
        };
        try
        {
            await task.ReportAsync("failed", new JobError(code, error.Message));
        }
        catch (NfrxException late)
        {
            options.Log($"{task.Claim.JobId}: {late.Message}");
        }
    }

    /// <summary>True when the job was canceled or belongs to somebody else by now.</summary>
    private static bool IsLost(Exception error) => error is NfrxException { Code: "invalid_state" or "not_found" };
}
