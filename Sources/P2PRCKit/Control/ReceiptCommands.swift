internal import PeerCore
internal import PeerReactor
internal import PeerStorage
internal import PeerWire

/// `receipt show` and `receipt verify`: offline, with nothing but the file.
public struct ReceiptCommands: Sendable {
    private let file: String
    private let json: Bool

    public init(file: String, json: Bool) {
        self.file = file
        self.json = json
    }

    /// Prints what a receipt says, also when its signatures do not fit; the status says that.
    public func show() throws(CommandError) -> ExitStatus {
        let receipt = try read()
        let fault = fault(of: receipt)
        if !json { Output.result(String(decoding: receipt.terms.bytes.dropLast(), as: UTF8.self)) }
        try finish(receipt, fault)
        return .success
    }

    /// Prints one line.
    public func verify() throws(CommandError) -> ExitStatus {
        let receipt = try read()
        let fault = fault(of: receipt)
        if !json, fault == nil {
            let terms = receipt.terms
            Output.result(
                """
                verified: relay \(terms.relay.short) and peer \(terms.peer.short) agreed \
                \(terms.host), ports \(terms.ports), until \(RFC3339.text(unixSeconds: terms.expires))
                """)
        }
        try finish(receipt, fault)
        return .success
    }

    // MARK: -

    private func read() throws(CommandError) -> Receipt {
        let bytes: [UInt8]
        do throws(StorageError) {
            bytes = try ReceiptFolder.read(file)
        } catch {
            throw CommandError(error.kind == .missing ? .notFound : .notVerified, "\(error)")
        }
        do throws(ReceiptFault) {
            return try Receipt(bytes)
        } catch { throw unverified(error) }
    }

    private func fault(of receipt: Receipt) -> ReceiptFault? {
        do throws(ReceiptFault) {
            try receipt.verify()
            return nil
        } catch { return error }
    }

    private func finish(_ receipt: Receipt, _ fault: ReceiptFault?) throws(CommandError) {
        if json, let bytes = try? OrderedJSON.encode(ReceiptDocument(receipt, fault)) { Output.document(bytes) }
        if let fault { throw unverified(fault) }
        if receipt.terms.expires <= WallTime.now.seconds {
            let end = RFC3339.text(unixSeconds: receipt.terms.expires)
            Output.error("p2prc: the receipt ended at \(end); the ports may be another node's by now")
        }
    }

    private func unverified(_ fault: ReceiptFault) -> CommandError {
        CommandError(.notVerified, "\(file): \(fault); trust nothing that it says, and ask for the original")
    }
}

/// What `receipt show --json` and `receipt verify --json` print.
struct ReceiptDocument: Encodable {
    struct Ceilings: Encodable {
        var Keys: UInt64?
        var Leases: UInt64?
        var Mappings: UInt64?
        var Connections: UInt64?
        var Connections_per_second: UInt64?
        var Bytes_per_second: UInt64?
    }

    var Verified: Bool
    var Reason: String?
    var Relay_key: String
    var Peer_key: String
    var Mapping: String
    var Protocols: [String]
    var Address: String
    var Ports: String
    var Issued: String
    var Expires: String
    var Limits: Ceilings

    init(_ receipt: Receipt, _ fault: ReceiptFault?) {
        let terms = receipt.terms
        Verified = fault == nil
        Reason = fault?.description
        Relay_key = terms.relay.description
        Peer_key = terms.peer.description
        Mapping = terms.mapping.description
        Protocols = terms.protocols.words
        Address = terms.host
        Ports = terms.ports.description
        Issued = RFC3339.text(unixSeconds: terms.issued)
        Expires = RFC3339.text(unixSeconds: terms.expires)
        Limits = Ceilings(
            Keys: terms.limits.keys, Leases: terms.limits.leases, Mappings: terms.limits.mappings,
            Connections: terms.limits.connections, Connections_per_second: terms.limits.connectionsPerSecond,
            Bytes_per_second: terms.limits.bytesPerSecond)
    }
}
