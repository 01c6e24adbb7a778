// What a secure client and worker say to each other around CMS: doc/secure-jobs.md is the description of it.
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace Nfrx;

/// <summary>What something sealed is for. Sealed along with it, and compared when it is opened.</summary>
public sealed record Purpose(string JobId, string Type, string Part, string Key, string Nonce);

public static class Secure
{
    public const string Scheme = "cms-x509-signed-v1";
    public const string MediaType = "application/cms";

    /// <summary>Of every certificate, for it shows to the broker: what counts is the fingerprint.</summary>
    private const string Name = "nfrx example";
    private const int EphemeralDays = 7;
    private const int KeptDays = 365;

    /// <summary>All of it is in memory while it is sealed or opened, more than once.</summary>
    private const int LargestSealed = 256 * 1024 * 1024;

    /// <summary>The identity in a file, which is made when there is none; without a file, one for this run only.</summary>
    public static Identity LoadIdentity(string? path)
    {
        if (path is null) return Identity.Create(Name, EphemeralDays);
        if (File.Exists(path))
        {
            var kept = Identity.FromPem(File.ReadAllText(path));
            Peer.FromPem(kept.CertificatePem); // what the other side would refuse, is refused here
            return kept;
        }
        var identity = Identity.Create(Name, KeptDays);
        var options = new FileStreamOptions { Mode = FileMode.CreateNew, Access = FileAccess.Write };
        if (!OperatingSystem.IsWindows()) options.UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite;
        using var file = new StreamWriter(path, options);
        file.Write(identity.ToPem());
        return identity;
    }

    /// <summary>
    /// Stands as <c>secure_transfer</c> in a job's metadata and in a channel's properties: how to seal something for me. The nonce is
    /// repeated in what is sealed, so that nothing old can be put in its place.
    /// </summary>
    public static (JsonObject Offer, string Nonce) MakeOffer(Identity identity)
    {
        var nonce = Convert.ToHexString(RandomNumberGenerator.GetBytes(16)).ToLowerInvariant();
        return (new JsonObject { ["scheme"] = Scheme, ["certificate"] = identity.CertificatePem, ["nonce"] = nonce }, nonce);
    }

    /// <summary>The other side's offer. With pins, fingerprints as <c>openssl x509 -fingerprint -sha256</c> prints them, only from these.</summary>
    public static (Peer Peer, string Nonce) TakeOffer(JsonObject? from, IReadOnlyList<string> pins)
    {
        var offer = from?["secure_transfer"] as JsonObject;
        if (Text(offer, "scheme") != Scheme) throw new CmsException($"the other side does not offer {Scheme}");
        if (Text(offer, "certificate") is not { } certificate || Text(offer, "nonce") is not { } nonce)
            throw new CmsException("the offer is not complete");
        var peer = Peer.FromPem(certificate);
        if (pins.Count > 0 && !pins.Any(pin => pin.Replace(":", "").ToLowerInvariant() == peer.Fingerprint))
            throw new CmsException($"the other side's certificate is none of the pinned ones: {peer.Fingerprint}");
        return (peer, nonce);
    }

    /// <summary>Seals one line of JSON, the purpose, the sender's fingerprint and the content type, and after it the body.</summary>
    public static byte[] SealFor(Identity identity, Peer peer, Purpose purpose, string contentType, byte[] body)
    {
        var header = JsonSerializer.SerializeToNode(purpose, NfrxApi.Json)!.AsObject();
        header["from"] = identity.Fingerprint;
        header["content_type"] = contentType;
        var sealedBytes = Cms.Seal(identity, peer, [.. Encoding.UTF8.GetBytes(header.ToJsonString()), (byte)'\n', .. body]);
        if (sealedBytes.Length > LargestSealed) throw new CmsException($"sealed, it is more than {LargestSealed} bytes");
        return sealedBytes;
    }

    /// <summary>Opens what <paramref name="peer"/> sealed for this purpose and <paramref name="identity"/>, and nothing else.</summary>
    public static async Task<(string ContentType, byte[] Body)> OpenFromAsync(
        Identity identity, Peer peer, Purpose purpose, Incoming incoming, CancellationToken stop)
    {
        var enveloped = Cms.Verify(peer, await incoming.ReadAllAsync(LargestSealed, stop));
        try
        {
            var plain = Cms.Decrypt(identity, enveloped);
            var end = Array.IndexOf(plain, (byte)'\n');
            var header = JsonNode.Parse(plain.AsSpan(0, end)) as JsonObject;
            // The sender is named inside too, for whoever takes the signature off can put another one in its place.
            var expected = JsonSerializer.SerializeToNode(purpose, NfrxApi.Json)!.AsObject();
            expected["from"] = peer.Fingerprint;
            if (!expected.All(field => Text(header, field.Key) == field.Value!.GetValue<string>()))
                throw new CmsException("another purpose");
            return (Text(header, "content_type") ?? "application/octet-stream", plain[(end + 1)..]);
        }
        catch (Exception)
        {
            // One refusal for all that can be wrong. Told apart, wrong padding and a wrong header would help somebody who signs
            // another's envelopes as his own, with bits changed, to decrypt them (a padding oracle).
            throw new CmsException("not sealed by the peer for this certificate and this job");
        }
    }

    private static string? Text(JsonObject? from, string name) =>
        from?[name] is JsonValue value && value.TryGetValue<string>(out var text) ? text : null;
}
