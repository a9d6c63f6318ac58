internal import COpenSSL
internal import CRecords

/// What encrypts data channels on this machine.
public enum RecordLibrary {
    /// Its name and version: `libipsec-mb 1.3.0`, or `OpenSSL 3.0.19`.
    public static var description: String {
        if let version = crecords_multibuffer() { return "libipsec-mb " + String(cString: version) }
        return String(cString: OpenSSL_version(OPENSSL_VERSION)).split(separator: " ").prefix(2).joined(separator: " ")
    }
}
