// A job from its client's side: created, then followed until it has ended.
using System.Text.Json.Nodes;

namespace Nfrx;

public sealed record NewJob(
    string Type, JsonObject? Metadata = null, string? WorkerId = null, string? WorkerGroup = null, int? Priority = null);

/// <summary>A transfer channel that a worker asked for.</summary>
public sealed record Channel(string Key, string ChannelId, string Url, JsonObject? Properties);

public sealed record JobError(string Code, string Message);

public sealed record Job(
    string Id,
    string Type,
    string Status,
    JsonObject? Progress,
    JobError? Error,
    Dictionary<string, Channel>? Payloads,
    Dictionary<string, Channel>? Results);

/// <summary>What a client does when the worker is ready to take a payload, and to give a result.</summary>
public interface IExchange
{
    Task<(HttpContent Body, string ContentType)> PayloadAsync(Channel channel);

    Task ResultAsync(Channel channel, Incoming incoming, CancellationToken stop);

    void OnStatus(Job job);

    /// <summary>A transfer failed. The worker may ask for it again, so the job goes on.</summary>
    void OnTrouble(Channel channel, NfrxException error);
}

public sealed class JobsClient(NfrxApi api)
{
    private sealed record Created(string JobId);

    private sealed record Canceled(string Status);

    /// <summary>The new job's id. The key makes sure that a call that is tried again creates no second job.</summary>
    public async Task<string> CreateAsync(NewJob job, CancellationToken stop) =>
        (await api.PostAsync<Created>("/api/jobs", job, stop, Guid.NewGuid().ToString()))!.JobId;

    public async Task<JsonObject> GetAsync(string id, CancellationToken stop) => (await api.GetAsync<JsonObject>(PathOf(id), stop))!;

    /// <summary>The status that the job has now: another one than <c>canceled</c> when it had ended before.</summary>
    public async Task<string> CancelAsync(string id, CancellationToken stop) =>
        (await api.PostAsync<Canceled>($"{PathOf(id)}/cancel", new JsonObject(), stop))!.Status;

    /// <summary>
    /// Follows a job to its end, sending and receiving what the worker asks for. Throws when a completed job's result did not come,
    /// and whatever the exchange throws; then the job still runs.
    /// </summary>
    public async Task<Job> FollowAsync(string id, IExchange exchange, CancellationToken stop)
    {
        using var ending = CancellationTokenSource.CreateLinkedTokenSource(stop);
        var transfers = new Dictionary<string, Task>();
        var missing = new Dictionary<string, NfrxException>();
        Exception? broken = null;

        // Transfers run beside the events, so that a cancellation is seen while bytes flow.
        async Task TransferAsync(Channel channel, bool isResult)
        {
            try
            {
                if (isResult)
                {
                    using var incoming = await api.ReceiveAsync(channel.Url, ending.Token);
                    await exchange.ResultAsync(channel, incoming, ending.Token);
                    lock (missing) missing.Remove(channel.Key);
                }
                else
                {
                    var (body, contentType) = await exchange.PayloadAsync(channel);
                    using (body) await api.SendAsync(channel.Url, body, contentType, ending.Token);
                }
            }
            catch (NfrxException error)
            {
                if (isResult)
                {
                    lock (missing) missing[channel.Key] = error;
                }
                exchange.OnTrouble(channel, error);
            }
            catch (Exception error)
            {
                if (!ending.IsCancellationRequested) broken = error;
                ending.Cancel();
            }
        }

        void Start(Channel channel, bool isResult)
        {
            if (!transfers.ContainsKey(channel.ChannelId)) transfers[channel.ChannelId] = TransferAsync(channel, isResult);
        }

        try
        {
            await foreach (var happened in api.EventsAsync($"{PathOf(id)}/events", ending.Token))
            {
                if (happened.Event is "payload" or "result") Start(happened.As<Channel>(), happened.Event == "result");
                if (happened.Event != "status") continue;
                var job = happened.As<Job>();
                exchange.OnStatus(job);
                // The status names every channel too: what was missed while the connection was down is found here.
                foreach (var channel in job.Payloads?.Values ?? Enumerable.Empty<Channel>()) Start(channel, false);
                foreach (var channel in job.Results?.Values ?? Enumerable.Empty<Channel>()) Start(channel, true);
                if (job.Status is "failed" or "canceled") return job;
                if (job.Status != "completed") continue;
                await Task.WhenAll(transfers.Values);
                ending.Token.ThrowIfCancellationRequested();
                foreach (var error in missing.Values) throw error;
                return job;
            }
            throw new InvalidOperationException("the broker ended the events before the job has ended");
        }
        catch (OperationCanceledException) when (broken is not null)
        {
            throw broken;
        }
        finally
        {
            ending.Cancel();
            await Task.WhenAll(transfers.Values);
        }
    }

    private static string PathOf(string id) => $"/api/jobs/{Uri.EscapeDataString(id)}";
}
