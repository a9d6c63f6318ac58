import GRDB
import PeerCore
import PeerWire

/// Columns as values that may turn out to be something else: the library's own subscripts end the process then.
extension Row {
    func integer(_ column: String) throws -> Int64 {
        guard let value: DatabaseValue = self[column], case .int64(let number) = value.storage else {
            throw unexpected(column)
        }
        return number
    }

    func number<Number: FixedWidthInteger>(_ column: String, as type: Number.Type = Number.self) throws -> Number {
        guard let number = Number(exactly: try integer(column)) else { throw unexpected(column) }
        return number
    }

    func text(_ column: String) throws -> String {
        guard let value: DatabaseValue = self[column], case .string(let text) = value.storage else {
            throw unexpected(column)
        }
        return text
    }

    func bytes(_ column: String) throws -> [UInt8] {
        guard let value: DatabaseValue = self[column], case .blob(let data) = value.storage else {
            throw unexpected(column)
        }
        return Array(data)
    }

    /// A key that is kept as its bytes.
    func rawKey(_ column: String) throws -> NodeKey { try value(NodeKey(bytes: try bytes(column)), column) }

    /// `nil` for NULL.
    func optionalNumber<Number: FixedWidthInteger>(
        _ column: String, as type: Number.Type = Number.self
    ) throws -> Number? {
        if let value: DatabaseValue = self[column], value.isNull { return nil }
        return try number(column)
    }

    func optionalTime(_ column: String) throws -> UnixTime? {
        try optionalNumber(column).map { UnixTime(milliseconds: $0) }
    }

    /// Microseconds; `nil` for NULL.
    func optionalSpan(_ column: String) throws -> Instant.Span? {
        guard let microseconds: UInt64 = try optionalNumber(column) else { return nil }
        return Instant.Span(nanoseconds: microseconds.multipliedReportingOverflow(by: 1_000).partialValue)
    }

    func time(_ column: String) throws -> UnixTime { UnixTime(milliseconds: try integer(column)) }

    func nodeKey(_ column: String) throws -> NodeKey { try value(NodeKey(try text(column)), column) }

    func mapping(_ column: String) throws -> MappingID { try value(MappingID(try text(column)), column) }

    func protocols(_ column: String) throws -> TransportProtocols {
        let protocols = TransportProtocols(rawValue: try number(column))
        return try value(protocols.isEmpty || !protocols.isSubset(of: [.tcp, .udp]) ? nil : protocols, column)
    }

    /// `nil` for NULL.
    func optionalText(_ column: String) throws -> String? {
        if let value: DatabaseValue = self[column], value.isNull { return nil }
        return try text(column)
    }

    /// CIDRs with a blank between them.
    func networks(_ column: String) throws -> [Network] {
        try text(column).split(separator: " ").map { try value(try? Network(String($0)), column) }
    }

    func value<Value>(_ value: Value?, _ column: String) throws -> Value {
        guard let value else { throw unexpected(column) }
        return value
    }

    func unexpected(_ column: String) -> DatabaseError {
        DatabaseError(resultCode: .SQLITE_CORRUPT, message: "column \(column) holds something unexpected")
    }
}
