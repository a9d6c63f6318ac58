import GRDB

extension IPTable {
    /// When the home's last process began, as a number that grows with each (`ProcessStart`); 0 before the first, or
    /// where that cannot be read: the clock decides then.
    public func lastStart() throws(StorageError) -> UInt64 {
        try ownValue("began") { try $0.number("began") } ?? 0
    }

    /// Before anybody hears of the process that has it.
    public func save(start number: UInt64) throws(StorageError) {
        try write { database in
            try database.execute(sql: "UPDATE own_record SET began = ?", arguments: [Int64(clamping: number)])
        }
    }
}
