// The broker's HTTP API: JSON calls that are tried again, transfer channels, and server-sent events that resume.
using System.Net;
using System.Net.Http.Headers;
using System.Net.Http.Json;
using System.Runtime.CompilerServices;
using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.Json.Serialization;

namespace Nfrx;

/// <summary>What the broker answered when it was not what was asked for.</summary>
public sealed class NfrxException : Exception
{
    private static readonly Dictionary<string, string> Meaning = new()
    {
        ["unreachable"] = "no connection to the broker",
        ["cut_short"] = "the other side, or the connection, broke off before everything had come",
        ["unauthorized"] = "the broker does not accept this key",
        ["not_found"] = "the broker knows no such job",
        ["invalid_state"] = "the job has ended, or is no longer this worker's",
        ["transfer_not_found"] = "the broker knows no such channel",
        ["transfer_expired"] = "the other side did not come in time",
        ["transfer_closed"] = "the channel has been used already",
        ["transfer_in_use"] = "somebody else is at this end of the channel",
        ["transfer_failed"] = "the other side broke off",
    };

    public NfrxException(int status, string code, string? message = null, Exception? cause = null)
        : base(Meaning.GetValueOrDefault(code, $"the broker answered {status} {code}: {message}"), cause)
    {
        Status = status;
        Code = code;
    }

    /// <summary>The HTTP status; 0 when there was no answer, or only part of one.</summary>
    public int Status { get; }

    /// <summary>The broker's own word for it, such as <c>transfer_expired</c>.</summary>
    public string Code { get; }

    /// <summary>True when the same call may succeed in a while.</summary>
    public bool Passing => Status is 0 or 429 || (Status >= 502 && Code != "transfer_failed");
}

public sealed record NewChannel(string ChannelId, string ExpiresAt);

public sealed record ServerEvent(string Event, string? Id, string Data)
{
    public T As<T>() => JsonSerializer.Deserialize<T>(Data, NfrxApi.Json)!;
}

/// <summary>Bytes that come through a channel. To be disposed of, read or not.</summary>
public sealed class Incoming(HttpResponseMessage response) : IDisposable
{
    private const int ChunkBytes = 256 * 1024;

    public string ContentType => response.Content.Headers.ContentType?.ToString() ?? "application/octet-stream";

    /// <summary>Copies all of it. Throws an <see cref="NfrxException"/> when the bytes end too early.</summary>
    public async Task CopyToAsync(Func<ReadOnlyMemory<byte>, Task> write, CancellationToken stop)
    {
        // The broker streams without Content-Length; this header names the length when the writer had told it.
        long? announced = response.Headers.TryGetValues("X-Transfer-Length", out var values) ? long.Parse(values.First()) : null;
        long length = 0;
        var buffer = new byte[ChunkBytes];
        await using var stream = await response.Content.ReadAsStreamAsync(stop);
        while (await ReadAsync(stream, buffer, stop) is > 0 and var read)
        {
            length += read;
            await write(buffer.AsMemory(0, read));
        }
        if (announced is not null && announced != length) throw new NfrxException(0, "cut_short");
    }

    /// <summary>Everything of it, in memory; throws when that is more than <paramref name="limit"/> bytes.</summary>
    public async Task<byte[]> ReadAllAsync(int limit, CancellationToken stop)
    {
        using var all = new MemoryStream();
        await CopyToAsync(
            async chunk =>
            {
                if (all.Length + chunk.Length > limit) throw new IOException($"more than {limit} bytes");
                await all.WriteAsync(chunk, stop);
            },
            stop);
        return all.ToArray();
    }

    public void Dispose() => response.Dispose();

    /// <summary>Tells a reading that fails from a writing that fails.</summary>
    private static async Task<int> ReadAsync(Stream stream, Memory<byte> buffer, CancellationToken stop)
    {
        try
        {
            return await stream.ReadAsync(buffer, stop);
        }
        catch (Exception error) when (error is IOException or HttpRequestException)
        {
            throw new NfrxException(0, "cut_short", cause: error);
        }
    }
}

public sealed class NfrxApi : IDisposable
{
    public static readonly JsonSerializerOptions Json = new()
    {
        PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower,
        DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull,
    };

    private const int Tries = 8;
    private static readonly TimeSpan FirstPause = TimeSpan.FromMilliseconds(250);
    private static readonly TimeSpan LongestPause = TimeSpan.FromSeconds(10);

    /// <summary>The broker writes to every stream of events at least every 15 s; one that is silent for so long is dead.</summary>
    private static readonly TimeSpan Silence = TimeSpan.FromSeconds(60);

    /// <summary>Longer than a claim waits for a job.</summary>
    private static readonly TimeSpan CallLimit = TimeSpan.FromSeconds(60);

    private readonly HttpClient _http;
    private readonly Action<NfrxException>? _onRetry;

    /// <param name="onRetry">Is told of each failure that is followed by another try.</param>
    public NfrxApi(string url, string? key, Action<NfrxException>? onRetry = null)
    {
        _onRetry = onRetry;
        _http = new HttpClient(new SocketsHttpHandler { AllowAutoRedirect = false })
        {
            BaseAddress = new Uri(url),
            // Transfers and events wait for others; what limits them are the broker and the signals.
            Timeout = Timeout.InfiniteTimeSpan,
        };
        if (key is not null) _http.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", key);
    }

    /// <summary>The broker at NFRX_URL, with the key in the first of these environment variables that is set.</summary>
    public static NfrxApi FromEnvironment(params string[] keys)
    {
        static string? Get(string name) => Environment.GetEnvironmentVariable(name) is { Length: > 0 } value ? value : null;
        return new NfrxApi(
            Get("NFRX_URL") ?? "http://localhost:8080",
            keys.Select(Get).FirstOrDefault(key => key is not null),
            error => Console.Error.WriteLine($"{error.Message}; trying again"));
    }

    public void Dispose() => _http.Dispose();

    /// <summary>A POST with JSON both ways; null for 204. What may succeed in a while is tried again.</summary>
    public Task<T?> PostAsync<T>(
        string path, object body, CancellationToken stop, string? idempotencyKey = null, int tries = Tries)
        where T : class =>
        CallAsync<T>(
            () =>
            {
                var request = new HttpRequestMessage(HttpMethod.Post, path) { Content = JsonContent.Create(body, options: Json) };
                if (idempotencyKey is not null) request.Headers.Add("Idempotency-Key", idempotencyKey);
                return request;
            },
            stop,
            tries);

    public Task<T?> GetAsync<T>(string path, CancellationToken stop)
        where T : class => CallAsync<T>(() => new HttpRequestMessage(HttpMethod.Get, path), stop, Tries);

    /// <summary>A new channel, for one writer and one reader.</summary>
    public async Task<NewChannel> CreateChannelAsync(CancellationToken stop) =>
        (await PostAsync<NewChannel>("/api/transfer", new JsonObject(), stop))!;

    /// <summary>Writes to a channel; returns when the reader has all of it. A channel serves once, so this is never tried again.</summary>
    public async Task SendAsync(string channel, HttpContent body, string contentType, CancellationToken stop)
    {
        body.Headers.ContentType = MediaTypeHeaderValue.Parse(contentType);
        using var request = new HttpRequestMessage(HttpMethod.Post, ChannelPath(channel)) { Content = body };
        using var response = await SendAsync(request, stop);
    }

    /// <summary>Reads from a channel; returns when the writer has come.</summary>
    public async Task<Incoming> ReceiveAsync(string channel, CancellationToken stop) =>
        new(await SendAsync(new HttpRequestMessage(HttpMethod.Get, ChannelPath(channel)), stop));

    /// <summary>
    /// The events of a stream, until the broker has no more. Connects again when it is cut, and goes on after the last event that
    /// came.
    /// </summary>
    public async IAsyncEnumerable<ServerEvent> EventsAsync(string path, [EnumeratorCancellation] CancellationToken stop)
    {
        string? lastId = null;
        for (var attempt = 1; ; attempt++)
        {
            await using var events = ConnectAsync(path, lastId, stop).GetAsyncEnumerator(stop);
            while (true)
            {
                try
                {
                    if (!await events.MoveNextAsync()) break;
                }
                catch (NfrxException error) when (error.Status == (int)HttpStatusCode.NoContent)
                {
                    yield break;
                }
                catch (NfrxException error) when (error.Passing)
                {
                    _onRetry?.Invoke(error);
                    break;
                }
                attempt = 1;
                lastId = events.Current.Id ?? lastId;
                yield return events.Current;
            }
            await BackoffAsync(attempt, stop);
        }
    }

    /// <summary>Server-sent events of one connection, as the HTML standard defines them, without <c>retry</c>.</summary>
    private async IAsyncEnumerable<ServerEvent> ConnectAsync(
        string path, string? lastId, [EnumeratorCancellation] CancellationToken stop)
    {
        using var silence = CancellationTokenSource.CreateLinkedTokenSource(stop);
        silence.CancelAfter(Silence);
        using var request = new HttpRequestMessage(HttpMethod.Get, path);
        request.Headers.Accept.Add(new MediaTypeWithQualityHeaderValue("text/event-stream"));
        if (lastId is not null) request.Headers.Add("Last-Event-ID", lastId);
        using var response = await SendAsync(request, silence.Token, stop);
        if (response.StatusCode == HttpStatusCode.NoContent) throw new NfrxException(204, "no_more_events");
        using var lines = new StreamReader(await response.Content.ReadAsStreamAsync(stop));
        string? name = null, id = null, data = null;
        while (await ReadLineAsync(lines, silence.Token, stop) is { } line)
        {
            silence.CancelAfter(Silence);
            if (line.Length == 0)
            {
                if (data is not null) yield return new ServerEvent(name ?? "message", id, data);
                name = id = data = null;
                continue;
            }
            var colon = line.IndexOf(':');
            var field = colon < 0 ? line : line[..colon];
            var value = colon < 0 ? "" : line[(colon + 1)..];
            if (value.StartsWith(' ')) value = value[1..];
            if (field == "event") name = value;
            else if (field == "id") id = value;
            else if (field == "data") data = data is null ? value : $"{data}\n{value}";
        }
    }

    private static async Task<string?> ReadLineAsync(StreamReader lines, CancellationToken silence, CancellationToken stop)
    {
        try
        {
            return await lines.ReadLineAsync(silence);
        }
        catch (Exception error) when (IsBreak(error, stop))
        {
            throw new NfrxException(0, "cut_short", cause: error);
        }
    }

    private async Task<T?> CallAsync<T>(Func<HttpRequestMessage> make, CancellationToken stop, int tries)
        where T : class
    {
        for (var attempt = 1; ; attempt++)
        {
            try
            {
                return await CallOnceAsync<T>(make, stop);
            }
            catch (NfrxException error) when (error.Passing && attempt < tries)
            {
                _onRetry?.Invoke(error);
            }
            await BackoffAsync(attempt, stop);
        }
    }

    private async Task<T?> CallOnceAsync<T>(Func<HttpRequestMessage> make, CancellationToken stop)
        where T : class
    {
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(stop);
        limit.CancelAfter(CallLimit);
        using var request = make();
        using var response = await SendAsync(request, limit.Token, stop);
        if (response.StatusCode == HttpStatusCode.NoContent) return null;
        try
        {
            return await response.Content.ReadFromJsonAsync<T>(Json, limit.Token);
        }
        catch (Exception error) when (IsBreak(error, stop) || error is JsonException)
        {
            throw new NfrxException(0, "cut_short", cause: error);
        }
    }

    private Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken stop) => SendAsync(request, stop, stop);

    /// <summary>An answer whose body is still to be read. Throws for every one that is no success.</summary>
    private async Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken limit, CancellationToken stop)
    {
        HttpResponseMessage response;
        try
        {
            response = await _http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, limit);
        }
        catch (Exception error) when (IsBreak(error, stop))
        {
            throw new NfrxException(0, "unreachable", cause: error);
        }
        if (response.IsSuccessStatusCode) return response;
        using (response) throw await ErrorOfAsync(response, stop);
    }

    /// <summary>The broker's errors are <c>{"error": "…"}</c>, with a message or without; a proxy in between may answer anything.</summary>
    private static async Task<NfrxException> ErrorOfAsync(HttpResponseMessage response, CancellationToken stop)
    {
        var status = (int)response.StatusCode;
        if (status is 401 or 403) return new NfrxException(status, "unauthorized");
        try
        {
            var said = await response.Content.ReadFromJsonAsync<JsonObject>(stop);
            return new NfrxException(status, said?["error"]?.GetValue<string>() ?? "error", said?["message"]?.GetValue<string>());
        }
        catch (Exception error) when (error is JsonException or InvalidOperationException or IOException or HttpRequestException)
        {
            return new NfrxException(status, "error");
        }
    }

    /// <summary>True for a connection that broke or fell silent; false when <paramref name="stop"/> ended it.</summary>
    private static bool IsBreak(Exception error, CancellationToken stop) =>
        !stop.IsCancellationRequested && error is IOException or HttpRequestException or OperationCanceledException;

    /// <summary>Waits longer after every attempt in vain; half of it by chance, so that many clients do not come back at once.</summary>
    private static Task BackoffAsync(int attempt, CancellationToken stop)
    {
        var longest = Math.Min(FirstPause.TotalSeconds * Math.Pow(2, attempt - 1), LongestPause.TotalSeconds);
        return Task.Delay(TimeSpan.FromSeconds(longest * (0.5 + Random.Shared.NextDouble() / 2)), stop);
    }

    /// <summary>Jobs name a channel by its path, people by its id.</summary>
    private static string ChannelPath(string channel) =>
        channel.StartsWith('/') ? channel : $"/api/transfer/{Uri.EscapeDataString(channel)}";
}
