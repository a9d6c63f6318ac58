import FoundationEssentials

/// A node's private key on the disk: an Ed25519 seed as unencrypted PKCS#8 (RFC 8410, section 7) in PEM (RFC 7468), so
/// that `openssl pkey` and others read it.
///
/// The key *is* the node. A damaged or exposed file is therefore refused and left as it is: a silent new one would be
/// a new node that has lost its ports and the trust of the others.
public enum KeyFile {
    /// The seed's length in bytes.
    public static let seedLength = 32

    /// SEQUENCE { INTEGER 0, SEQUENCE { OID 1.3.101.112 }, OCTET STRING { OCTET STRING (32 bytes) } }, all up to the
    /// seed.
    private static let prefix: [UInt8] = [
        0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
    ]
    private static let header = "-----BEGIN PRIVATE KEY-----"
    private static let footer = "-----END PRIVATE KEY-----"

    /// The seed in the file. Where there is no file, one is made from `makeSeed` (32 random bytes), whole and flushed.
    public static func loadOrCreate(at path: String, makeSeed: () -> [UInt8]) throws(StorageError) -> [UInt8] {
        if let seed = try load(at: path) { return seed }
        let seed = makeSeed()
        guard seed.count == seedLength else {
            throw StorageError(.invalid, path: path, detail: "a seed has \(seedLength) bytes, not \(seed.count)")
        }
        if try SecretFile.create(Array(pem(seed).utf8), at: path) { return seed }
        // Somebody else made one in between: theirs counts.
        guard let theirs = try load(at: path) else {
            throw StorageError(.missing, path: path, detail: "something is there that leads to no file", advice: fix)
        }
        return theirs
    }

    /// The seed in the file; `nil` when there is no file.
    public static func load(at path: String) throws(StorageError) -> [UInt8]? {
        guard let bytes = try SecretFile.read(at: path) else { return nil }
        guard let seed = seed(inPEM: String(decoding: bytes, as: UTF8.self)) else {
            throw StorageError(
                .damaged, path: path,
                detail: "this is no Ed25519 private key in PKCS#8 PEM, so the node has no identity", advice: fix)
        }
        return seed
    }

    private static let fix = "put it back from a backup, or move it away yourself to start as a new node with a new key"

    static func pem(_ seed: [UInt8]) -> String {
        "\(header)\n\(Data(prefix + seed).base64EncodedString())\n\(footer)\n"
    }

    static func seed(inPEM text: String) -> [UInt8]? {
        // Not `isNewline`: a damaged file could have other separators, such as a vertical tab, which nobody wrote.
        let lines = text.split { $0 == "\n" || $0 == "\r\n" || $0 == "\r" }.map(trimmed).filter { !$0.isEmpty }
        guard lines.count >= 3, lines.first == header, lines.last == footer,
            let der = Data(base64Encoded: lines[1..<(lines.count - 1)].joined()),
            der.count == prefix.count + seedLength, der.starts(with: prefix)
        else { return nil }
        return Array(der.dropFirst(prefix.count))
    }

    private static func trimmed(_ line: Substring) -> String {
        let start = line.drop { $0 == " " || $0 == "\t" }
        return String(start.reversed().drop { $0 == " " || $0 == "\t" }.reversed())
    }
}
