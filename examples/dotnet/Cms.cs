// CMS (RFC 5652) as doc/secure-jobs.md lays it down: EnvelopedData for the recipient inside SignedData by the sender.
using System.Security.Cryptography;
using System.Security.Cryptography.Pkcs;
using System.Security.Cryptography.X509Certificates;

namespace Nfrx;

/// <summary>Something is not as it must be; what came is to be refused.</summary>
public sealed class CmsException(string message, Exception? cause = null) : Exception(message, cause);

/// <summary>The other side's certificate, when it is one that this form can work with today.</summary>
public sealed class Peer
{
    private const int ShortestKeyBits = 2048;

    private Peer(X509Certificate2 certificate) => Certificate = certificate;

    public X509Certificate2 Certificate { get; }

    public string Fingerprint => Cms.FingerprintOf(Certificate);

    public static Peer FromPem(string pem)
    {
        X509Certificate2 certificate;
        try
        {
            certificate = X509Certificate2.CreateFromPem(pem);
        }
        catch (CryptographicException error)
        {
            throw new CmsException("not a certificate", error);
        }
        using var key = certificate.GetRSAPublicKey() ?? throw new CmsException("the certificate's key is not an RSA key");
        if (key.KeySize < ShortestKeyBits) throw new CmsException($"the certificate's key has only {key.KeySize} bits");
        var now = DateTime.Now; // as NotBefore and NotAfter are
        if (now < certificate.NotBefore || now > certificate.NotAfter) throw new CmsException("the certificate is not valid now");
        var usage = certificate.Extensions.OfType<X509KeyUsageExtension>().SingleOrDefault()?.KeyUsages ?? X509KeyUsageFlags.None;
        if (!usage.HasFlag(Identity.SignAndEncrypt)) throw new CmsException("the certificate is not for signing and encrypting");
        return new Peer(certificate);
    }
}

/// <summary>A certificate with its private key, which both signs and decrypts.</summary>
public sealed class Identity
{
    public const X509KeyUsageFlags SignAndEncrypt = X509KeyUsageFlags.DigitalSignature | X509KeyUsageFlags.KeyEncipherment;
    private const int KeyBits = 3072;

    private Identity(X509Certificate2 certificate, RSA key)
    {
        Certificate = certificate;
        Key = key;
    }

    public X509Certificate2 Certificate { get; }

    public RSA Key { get; }

    public string CertificatePem => Certificate.ExportCertificatePem() + "\n";

    public string Fingerprint => Cms.FingerprintOf(Certificate);

    /// <summary>A new key with a certificate that it signs itself.</summary>
    public static Identity Create(string name, int days)
    {
        var key = RSA.Create(KeyBits);
        var request = new CertificateRequest($"CN={name}", key, HashAlgorithmName.SHA256, RSASignaturePadding.Pkcs1);
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(false, false, 0, critical: true));
        request.CertificateExtensions.Add(new X509KeyUsageExtension(SignAndEncrypt, critical: true));
        var now = DateTimeOffset.UtcNow;
        // A day of the past for clocks that are late.
        return new Identity(request.CreateSelfSigned(now.AddDays(-1), now.AddDays(days)), key);
    }

    /// <summary>From one PRIVATE KEY (PKCS #8) and one CERTIFICATE, in any order.</summary>
    public static Identity FromPem(string pem)
    {
        var key = RSA.Create();
        key.ImportFromPem(pem);
        return new Identity(X509Certificate2.CreateFromPem(pem), key);
    }

    public string ToPem() => Key.ExportPkcs8PrivateKeyPem() + "\n" + CertificatePem;
}

public static class Cms
{
    private const string Data = "1.2.840.113549.1.7.1";
    private const string Sha256 = "2.16.840.1.101.3.4.2.1";
    private const string Rsa = "1.2.840.113549.1.1.1";
    private const string Sha256WithRsa = "1.2.840.113549.1.1.11";
    private const string RsaOaep = "1.2.840.113549.1.1.7";
    private const string Aes256Cbc = "2.16.840.1.101.3.4.1.42";

    /// <summary>Encrypts for <paramref name="peer"/>, then signs as <paramref name="identity"/>.</summary>
    public static byte[] Seal(Identity identity, Peer peer, byte[] plain)
    {
        var enveloped = new EnvelopedCms(new ContentInfo(plain), new AlgorithmIdentifier(new Oid(Aes256Cbc)));
        enveloped.Encrypt(
            new CmsRecipient(SubjectIdentifierType.IssuerAndSerialNumber, peer.Certificate, RSAEncryptionPadding.OaepSHA256));

        var signed = new SignedCms(new ContentInfo(enveloped.Encode()));
        var signer = new CmsSigner(SubjectIdentifierType.IssuerAndSerialNumber, identity.Certificate, identity.Key)
        {
            DigestAlgorithm = new Oid(Sha256),
            IncludeOption = X509IncludeOption.None,
        };
        // Only with an attribute of our own does the library add the two that the form demands.
        signer.SignedAttributes.Add(new Pkcs9SigningTime());
        signed.ComputeSignature(signer);
        return signed.Encode();
    }

    /// <summary>What is inside the signature. Throws when that is not the peer's, or has another form.</summary>
    public static byte[] Verify(Peer peer, byte[] sealedBytes)
    {
        try
        {
            return Verified(peer, sealedBytes);
        }
        catch (Exception error)
        {
            // Parsers fail in many ways; to the caller they are one.
            throw new CmsException("the signature is not the peer's", error);
        }
    }

    public static string FingerprintOf(X509Certificate2 certificate) =>
        certificate.GetCertHashString(HashAlgorithmName.SHA256).ToLowerInvariant();

    private static byte[] Verified(Peer peer, byte[] sealedBytes)
    {
        var signed = new SignedCms();
        signed.Decode(sealedBytes);
        Require(signed.SignerInfos.Count == 1 && !signed.Detached);
        var signer = signed.SignerInfos[0];
        // One form and no other. Without signed attributes, for one, another message's attributes could be passed off as content.
        var types = signer.SignedAttributes.Cast<CryptographicAttributeObject>()
            .SelectMany(attribute => attribute.Values.Cast<AsnEncodedData>())
            .OfType<Pkcs9ContentType>()
            .Select(type => type.ContentType.Value);
        Require(types.SequenceEqual([Data]) && signed.ContentInfo.ContentType.Value == Data);
        Require(signer.DigestAlgorithm.Value == Sha256 && signer.SignatureAlgorithm.Value is Rsa or Sha256WithRsa);
        // A certificate that came along would be preferred to the peer's.
        Require(signer.Certificate is not { } certificate || certificate.RawDataMemory.Span.SequenceEqual(peer.Certificate.RawDataMemory.Span));
        signer.CheckSignature(new X509Certificate2Collection(peer.Certificate), verifySignatureOnly: true);
        return signed.ContentInfo.Content;
    }

    /// <summary>
    /// What is inside the envelope. To be called with what <see cref="Verify"/> gave only. Throws in many ways when it is not
    /// encrypted for <paramref name="identity"/>; which of them it was, nobody else may learn.
    /// </summary>
    public static byte[] Decrypt(Identity identity, byte[] content)
    {
        var enveloped = new EnvelopedCms();
        enveloped.Decode(content);
        Require(enveloped.RecipientInfos.Count == 1 && enveloped.RecipientInfos[0] is KeyTransRecipientInfo);
        var recipient = enveloped.RecipientInfos[0];
        Require(recipient.KeyEncryptionAlgorithm.Oid.Value == RsaOaep);
        Require(enveloped.ContentEncryptionAlgorithm.Oid.Value == Aes256Cbc);
        enveloped.Decrypt(recipient, identity.Key);
        return enveloped.ContentInfo.Content;
    }

    private static void Require(bool holds)
    {
        if (!holds) throw new CmsException("another form");
    }
}
