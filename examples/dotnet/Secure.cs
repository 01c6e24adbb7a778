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
    private const int EphemeralDays = 7;
    private const int KeptDays = 365;

    /// <summary>The identity in a file, which is made when there is none; without a file, one for this run only.</summary>
    public static Identity LoadIdentity(string? path, string name)
    {
        if (path is null) return Identity.Create(name, EphemeralDays);
        if (File.Exists(path)) return Identity.FromPem(File.ReadAllText(path));
        var identity = Identity.Create(name, KeptDays);
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

    /// <summary>Seals one line of JSON, the purpose and the content type, and after it the body.</summary>
    public static byte[] SealFor(Identity identity, Peer peer, Purpose purpose, string contentType, byte[] body)
    {
        var header = JsonSerializer.SerializeToNode(purpose, NfrxApi.Json)!.AsObject();
        header["content_type"] = contentType;
        return Cms.Seal(identity, peer, [.. Encoding.UTF8.GetBytes(header.ToJsonString()), (byte)'\n', .. body]);
    }

    public static (string ContentType, byte[] Body) OpenFrom(Identity identity, Peer peer, Purpose purpose, byte[] sealedBytes)
    {
        var plain = Cms.Unseal(identity, peer, sealedBytes);
        var end = Array.IndexOf(plain, (byte)'\n');
        if (end < 0) throw new CmsException("no header in what was sealed");
        var header = JsonNode.Parse(plain.AsSpan(0, end)) as JsonObject;
        foreach (var (name, value) in JsonSerializer.SerializeToNode(purpose, NfrxApi.Json)!.AsObject())
        {
            if (Text(header, name) != value!.GetValue<string>()) throw new CmsException($"sealed for another {name}");
        }
        return (Text(header, "content_type") ?? "application/octet-stream", plain[(end + 1)..]);
    }

    private static string? Text(JsonObject? from, string name) =>
        from?[name] is JsonValue value && value.TryGetValue<string>(out var text) ? text : null;
}
