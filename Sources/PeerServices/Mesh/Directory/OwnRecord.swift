internal import Logging
internal import PeerCore
internal import PeerReactor
internal import PeerWire

/// What the record of this node says beside its name: where others reached it, and who did.
protocol OwnRecordSource: AnyObject {
    /// As far as it is known now.
    var witnessed: (addresses: [NodeAddress], statements: [DialBackStatement]) { get }
    /// Whether nothing is known yet, neither that it is reached nor that it is not.
    var isUndecided: Bool { get }
}

/// The record of this node: written anew where it changed, signed, on the disk, and then among the others. Belongs to
/// the control loop, and to one `MeshService`.
final class OwnRecord {
    private static let firstWord = Instant.Span.seconds(3)

    private let context: MeshContext
    private let directory: Directory
    private let source: any OwnRecordSource
    /// Set as long as the mesh runs.
    weak var coordinator: (any MeshCoordinator)?

    private var author: RecordAuthor
    private var note: String
    /// Names for which there was no room when it was last looked at.
    private var untold: Set<String> = []
    private var isWriting = false
    private var mustWrite = false
    private var lastForeign: SignedRecord?
    private let started: Instant
    /// Peers are being let go.
    private(set) var isDraining = false
    /// The number of the last record.
    var lastIssue: UInt64 { author.lastIssue }

    init(_ context: MeshContext, _ directory: Directory, _ source: any OwnRecordSource) {
        self.context = context
        self.directory = directory
        self.source = source
        note = context.setup.note
        started = context.now
        author = Self.author(context, lastIssue: context.setup.lastIssue)
    }

    private static func author(_ context: MeshContext, lastIssue: UInt64) -> RecordAuthor {
        RecordAuthor(
            key: context.own, process: context.setup.process.inRecords, lastIssue: lastIssue, at: context.wall)
    }

    func keyRotated() {
        author = Self.author(context, lastIssue: author.lastIssue)
        lastForeign = nil
        coordinator?.publishSoon()
    }

    /// The user says something else of this node.
    func noteChanged(_ note: String) {
        self.note = note
        coordinator?.publishSoon()
    }

    func drain(_ isDraining: Bool) {
        guard isDraining != self.isDraining else { return }
        self.isDraining = isDraining
        coordinator?.publishSoon()
    }

    // MARK: What it says

    private var content: RecordAuthor.Content {
        let setup = context.setup
        let name = String(setup.name.prefixOfBytes(NodeRecord.maximumText))
        var content = RecordAuthor.Content(name: name, software: setup.software, mappings: announced(), note: note)
        let (addresses, statements) = source.witnessed
        guard !addresses.isEmpty else { return content }
        content.addresses = Array(addresses.prefix(NodeRecord.maximumAddresses))
        content.witnesses = Array(statements.prefix(NodeRecord.maximumWitnesses))
        // What nobody can reach is no relay, whatever its user wants.
        if setup.isRelay { content.roles.insert(.relay) }
        if isDraining { content.roles.insert(.draining) }
        return content
    }

    /// What the user wants told, as far as a record has room for it.
    private func announced() -> [NodeRecord.Mapping] {
        let all = context.host.announced
        let written = NodeRecord.fitting(all)
        let leftOut = Set(all.map(\.name)).subtracting(written.map(\.name))
        for name in leftOut.subtracting(untold).sorted() {
            let room = "\(NodeRecord.maximumMappings) mappings of \(NodeRecord.maximumMappingBytes) bytes in all"
            let host = "hosts of \(NodeRecord.maximumText) bytes"
            context.log.warning("\"\(name)\" is not told to others: a record has room for \(room), and for \(host)")
        }
        untold = leftOut
        return written
    }

    // MARK: Publishing

    func publishIfChanged() {
        // A relay's first record says where it is, if that shows soon: there are four a minute at most.
        let isEarly = context.setup.isRelay && source.isUndecided && context.now - started < Self.firstWord
        guard !isEarly || directory.gossip.ownRecord != nil else { return }
        guard !isWriting,
            let record = author.write(content, time: directory.time, own: context.wall.seconds, force: mustWrite)
        else { return }
        mustWrite = false
        let signed: SignedRecord
        do throws(WireError) { signed = try context.signatures.sign(record) } catch {
            return context.log.error("the record of this node cannot be signed: \(error)")
        }
        isWriting = true
        // On the disk before anybody has it: a process that forgot its number would write below it.
        context.store.save(own: signed) { [weak self] isSaved in self?.publish(signed, isSaved: isSaved) }
    }

    private func publish(_ record: SignedRecord, isSaved: Bool) {
        isWriting = false
        guard !directory.isStopped, record.key == context.own else { return }
        guard isSaved else {
            mustWrite = true
            return
        }
        directory.publish(record)
    }

    /// After others were heard: a record of this node's key that it did not write.
    func lookForForeign() {
        guard let foreign = directory.gossip.foreignOwn, foreign != lastForeign else { return }
        lastForeign = foreign
        switch author.found(foreign.record) {
        case .own: break
        case .writeAnew:
            mustWrite = true
            coordinator?.publishSoon()
        case .superseded:
            let advice = PeerService.afterSupersession
            context.log.error(
                "superseded: another process with this node's key began later, and the mesh knows it; \(advice)")
            context.host.superseded()
        }
    }
}

extension String {
    /// As many whole characters as fit into so many bytes.
    fileprivate func prefixOfBytes(_ limit: Int) -> Substring {
        var end = startIndex
        while end < endIndex {
            let next = index(after: end)
            guard self[..<next].utf8.count <= limit else { break }
            end = next
        }
        return self[..<end]
    }
}
