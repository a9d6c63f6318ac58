import GRDB

extension StorageError {
    /// An error of the database library, in our words.
    init(_ error: any Error, path: String) {
        if let error = error as? StorageError {
            self = error
            return
        }
        guard let error = error as? DatabaseError else {
            self.init(.failed, path: path, detail: "\(error)")
            return
        }
        let kind: Kind =
            switch error.resultCode {
            case .SQLITE_FULL: .full
            case .SQLITE_PERM, .SQLITE_AUTH, .SQLITE_READONLY, .SQLITE_CANTOPEN: .denied
            case .SQLITE_BUSY, .SQLITE_LOCKED: .busy
            case .SQLITE_CORRUPT, .SQLITE_NOTADB: .damaged
            case .SQLITE_CONSTRAINT, .SQLITE_MISMATCH, .SQLITE_TOOBIG, .SQLITE_RANGE: .invalid
            default: .failed
            }
        // The statement stays out of the text: its arguments are other people's names and addresses.
        let reason = error.message ?? "no reason given"
        self.init(kind, path: path, detail: "the database says '\(reason)' (\(error.extendedResultCode.rawValue))")
    }
}
