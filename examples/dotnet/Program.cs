// The command lines of the examples.
using System.Runtime.InteropServices;
using System.Text.Json;
using System.Text.Json.Nodes;
using Nfrx;

const string Binary = "application/octet-stream";
const int EndedBySignal = 130;
const string Usage = """
    nfrx-examples transfer send [--channel ID] [--content-type TYPE] FILE
    nfrx-examples transfer receive [--channel ID] [--output FILE]
        Moves one file from a sender to a receiver. Either side may come first: it prints the id of a new channel, which the
        other side names with --channel within a minute. Without --output it goes to stdout.

    nfrx-examples jobs-client run [JOB OPTIONS] TYPE
    nfrx-examples jobs-client show JOB_ID
    nfrx-examples jobs-client cancel JOB_ID
        run creates a job, sends the payload when a worker asks for it, and writes the result. Ctrl-C cancels the job.

    nfrx-examples jobs-worker [WORKER OPTIONS] -- COMMAND [ARGUMENT]...
        Takes jobs and does each by running COMMAND: the payload is its stdin, its stdout is the result. It finds the job in
        JOB_ID, JOB_TYPE and JOB_METADATA. A command that fails makes the job fail.

    nfrx-examples secure-client [JOB OPTIONS] [SECURE OPTIONS] TYPE
    nfrx-examples secure-worker [WORKER OPTIONS] [SECURE OPTIONS] -- COMMAND [ARGUMENT]...
        The same, with payload and result signed and encrypted; doc/secure-jobs.md tells how.

    nfrx-examples identity FILE
        Makes a key and a certificate in FILE, when there is no such file, and prints the certificate's fingerprint: what the
        other side wants as its --peer, told by a way that the broker has no hand in.

    Job options:
      --payload FILE       what to send (default: nothing, an empty payload)
      --content-type TYPE  what the payload is (default: application/octet-stream)
      --result FILE        where to write the result (default: stdout)
      --metadata JSON      an object for the worker; the broker can read it
      --worker-id ID       only for this worker
      --worker-group NAME  only for workers of this group
      --priority N         0 to 9; higher goes first

    Worker options:
      --type TYPE          take only jobs of this type; may be repeated
      --worker-id ID       this worker's name (default: machine name and process id)
      --worker-group NAME  this worker's group
      --concurrency N      jobs at the same time (default: 1)
      --stream             take jobs from an event stream, as many as come, instead of asking for each
      --lease SECONDS      after so long without a sign of life the job goes to another worker (default: 60)
      --once               end after one job
      --content-type TYPE  what the results are (default: application/octet-stream)

    Secure options:
      --peer FINGERPRINT   accept only the other side with this certificate (SHA-256, hexadecimal); may be repeated. Without it
                           any certificate is accepted, and the broker could put its own in its place.
      --identity FILE      this side's key and certificate in PEM, made when missing (default: new ones for every run)

    Exit code of a client: 0 when the job was completed, 1 when it failed or was canceled.
    Environment: NFRX_URL (default: http://localhost:8080), API_KEY for clients, CLIENT_KEY for workers.
    """;

string[] transferOptions = ["--channel", "--content-type", "--output"];
string[] jobOptions = ["--payload", "--content-type", "--result", "--metadata", "--worker-id", "--worker-group", "--priority"];
string[] workerOptions = ["--type", "--worker-id", "--worker-group", "--concurrency", "--lease", "--content-type"];
string[] secureOptions = ["--peer", "--identity"];

using var ending = new CancellationTokenSource();
void OnSignal(PosixSignalContext context)
{
    // A second signal ends the process at once.
    if (ending.IsCancellationRequested) return;
    context.Cancel = true;
    ending.Cancel();
}
using var interrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, OnSignal);
using var terminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, OnSignal);
var stop = ending.Token;

try
{
    if (args.Length == 0 || args.TakeWhile(argument => argument != "--").Contains("--help"))
    {
        Console.WriteLine(Usage);
        return 0;
    }
    var rest = args[1..];
    var code = args[0] switch
    {
        "transfer" => await TransferAsync(Parse(rest, transferOptions)),
        "jobs-client" => await JobsClientAsync(Parse(rest, jobOptions)),
        "jobs-worker" => await JobsWorkerAsync(Parse(rest, workerOptions)),
        "secure-client" => await SecureClientAsync(Parse(rest, [.. jobOptions, .. secureOptions])),
        "secure-worker" => await SecureWorkerAsync(Parse(rest, [.. workerOptions, .. secureOptions])),
        "identity" => ShowIdentity(Parse(rest, [])),
        _ => throw new UsageException("try --help"),
    };
    return stop.IsCancellationRequested ? EndedBySignal : code;
}
catch (OperationCanceledException) when (stop.IsCancellationRequested)
{
    return EndedBySignal;
}
catch (UsageException error)
{
    Note($"error: {error.Message}");
    return 2;
}
catch (Exception error) when (error is NfrxException or CmsException or IOException or UnauthorizedAccessException)
{
    Note($"error: {error.Message}");
    return 1;
}

async Task<int> TransferAsync(Arguments arguments)
{
    using var api = NfrxApi.FromEnvironment("API_KEY", "CLIENT_KEY");
    using var file = arguments.Words switch
    {
        ["send", var path] => File.OpenRead(path),
        ["receive"] => null,
        _ => throw new UsageException("try --help"),
    };
    var channel = arguments.Get("--channel");
    if (channel is null)
    {
        var created = await api.CreateChannelAsync(stop);
        channel = created.ChannelId;
        Note($"channel {channel} (until {created.ExpiresAt})");
    }
    if (file is not null)
    {
        var length = file.Length;
        await api.SendAsync(channel, new StreamContent(file), arguments.Get("--content-type") ?? Binary, stop);
        Note($"sent {length} bytes");
        return 0;
    }
    using var incoming = await api.ReceiveAsync(channel, stop);
    await Files.SaveAsync(arguments.Get("--output"), incoming, stop);
    Note($"received {incoming.ContentType}");
    return 0;
}

async Task<int> JobsClientAsync(Arguments arguments)
{
    using var api = NfrxApi.FromEnvironment("API_KEY");
    var client = new JobsClient(api);
    switch (arguments.Words)
    {
        case ["show", var id]:
            Console.WriteLine((await client.GetAsync(id, stop)).ToJsonString(new JsonSerializerOptions { WriteIndented = true }));
            return 0;
        case ["cancel", var id]:
            Console.WriteLine(await client.CancelAsync(id, stop));
            return 0;
        case ["run", var type]:
            RequireFile(arguments.Get("--payload"));
            var job = await StartAsync(client, NewJobOf(type, arguments));
            return await SeeThroughAsync(client, job, new FileExchange(arguments, Note));
        default:
            throw new UsageException("try --help");
    }
}

async Task<int> SecureClientAsync(Arguments arguments)
{
    if (arguments.Words is not [var type]) throw new UsageException("try --help");
    var identity = Secure.LoadIdentity(arguments.Get("--identity"));
    Note($"client certificate {identity.Fingerprint}");
    var (offer, nonce) = Secure.MakeOffer(identity);
    var job = NewJobOf(type, arguments);
    var metadata = job.Metadata ?? [];
    metadata["secure_transfer"] = offer;
    var body = arguments.Get("--payload") is { } path ? await File.ReadAllBytesAsync(path, stop) : [];

    using var api = NfrxApi.FromEnvironment("API_KEY");
    var client = new JobsClient(api);
    var id = await StartAsync(client, job with { Metadata = metadata });
    var exchange = new SealedExchange(id, type, identity, nonce, body, arguments, Note);
    var code = await SeeThroughAsync(client, id, exchange);
    // That a job is completed is only the broker's word.
    if (code == 0 && !exchange.Received) throw new CmsException("the job is completed, but there was no result");
    return code;
}

Task<int> JobsWorkerAsync(Arguments arguments) => WorkAsync(arguments, (task, output) => JobsWorkAsync(task, output, arguments));

async Task JobsWorkAsync(JobTask task, string output, Arguments arguments)
{
    await task.TakePayloadAsync(async payload =>
    {
        await task.ReportAsync("running");
        await Filter.RunAsync(arguments.Words, write => payload.CopyToAsync(write, task.Stop), output, task);
        return true;
    });
    await task.GiveResultAsync(() => new StreamContent(File.OpenRead(output)), arguments.Get("--content-type") ?? Binary);
}

int ShowIdentity(Arguments arguments)
{
    if (arguments.Words is not [var file]) throw new UsageException("try --help");
    Console.WriteLine(Secure.LoadIdentity(file).Fingerprint);
    return 0;
}

Task<int> SecureWorkerAsync(Arguments arguments)
{
    var identity = Secure.LoadIdentity(arguments.Get("--identity"));
    Note($"worker certificate {identity.Fingerprint}");
    return WorkAsync(
        arguments,
        async (task, output) =>
        {
            try
            {
                await SecureWorkAsync(task, output, identity, arguments);
            }
            catch (CmsException error)
            {
                // The broker may know that something was refused, and why; nothing of what was in it.
                throw new JobFailedException("secure_transfer_refused", error.Message, error);
            }
        });
}

async Task SecureWorkAsync(JobTask task, string output, Identity identity, Arguments arguments)
{
    var (id, type) = (task.Claim.JobId, task.Claim.Type);
    var (peer, nonce) = Secure.TakeOffer(task.Claim.Metadata, arguments.All("--peer"));
    var (offer, mine) = Secure.MakeOffer(identity);
    JsonObject Properties() => new() { ["secure_transfer"] = offer.DeepClone() };

    var payload = await task.TakePayloadAsync(
        async incoming =>
        {
            var purpose = new Purpose(id, type, "payload", "payload", mine);
            return (await Secure.OpenFromAsync(identity, peer, purpose, incoming, task.Stop)).Body;
        },
        Properties());
    await task.ReportAsync("running");
    await Filter.RunAsync(arguments.Words, write => write(payload), output, task);
    var result = await File.ReadAllBytesAsync(output, task.Stop);
    var answer = new Purpose(id, type, "result", "result", nonce);
    var sealedBytes = Secure.SealFor(identity, peer, answer, arguments.Get("--content-type") ?? Binary, result);
    await task.GiveResultAsync(() => new ByteArrayContent(sealedBytes), Secure.MediaType, Properties());
}

async Task<int> WorkAsync(Arguments arguments, Func<JobTask, string, Task> work)
{
    if (arguments.Words.Count == 0) throw new UsageException("no command; try --help");
    var options = new WorkerOptions
    {
        Types = arguments.All("--type"),
        WorkerGroup = arguments.Get("--worker-group"),
        Lease = arguments.Number("--lease", 60, 1, 86_400),
        Concurrency = arguments.Number("--concurrency", 1, 1, 1000),
        Stream = arguments.Has("--stream"),
        Once = arguments.Has("--once"),
        Log = Note,
    };
    if (arguments.Get("--worker-id") is { } name) options = options with { WorkerId = name };
    using var api = NfrxApi.FromEnvironment("CLIENT_KEY");
    var worker = new JobsWorker(
        api,
        options,
        async task =>
        {
            var folder = Directory.CreateTempSubdirectory("nfrx-work-");
            try
            {
                await work(task, Path.Combine(folder.FullName, "output"));
            }
            finally
            {
                folder.Delete(recursive: true);
            }
        });
    await worker.RunAsync(stop);
    return 0;
}

async Task<string> StartAsync(JobsClient client, NewJob job)
{
    var id = await client.CreateAsync(job, stop);
    Note($"job {id}");
    return id;
}

// Follows a job and says how it ended; cancels it at Ctrl-C, or when something breaks on this side.
async Task<int> SeeThroughAsync(JobsClient client, string id, IExchange exchange)
{
    try
    {
        var job = await client.FollowAsync(id, exchange, stop);
        if (job.Error is { } error) Note($"{error.Code}: {error.Message}");
        return job.Status == "completed" ? 0 : 1;
    }
    catch
    {
        try
        {
            Note($"canceling: now {await client.CancelAsync(id, CancellationToken.None)}");
        }
        catch (NfrxException late)
        {
            Note($"canceling: {late.Message}");
        }
        throw;
    }
}

NewJob NewJobOf(string type, Arguments arguments)
{
    int? priority = arguments.Get("--priority") is null ? null : arguments.Number("--priority", 0, 0, 9);
    return new NewJob(
        type, ObjectOf(arguments.Get("--metadata")), arguments.Get("--worker-id"), arguments.Get("--worker-group"), priority);
}

static JsonObject? ObjectOf(string? text)
{
    if (text is null) return null;
    try
    {
        if (JsonNode.Parse(text) is JsonObject value) return value;
    }
    catch (JsonException)
    {
    }
    throw new UsageException("--metadata wants a JSON object");
}

static Arguments Parse(string[] arguments, string[] options) =>
    new(arguments, options.ToHashSet(), new HashSet<string> { "--stream", "--once" });

static void RequireFile(string? path)
{
    if (path is not null && !File.Exists(path)) throw new FileNotFoundException($"there is no file {path}");
}

// For people; stdout is for results.
static void Note(string message) => Console.Error.WriteLine(message);
