internal import Logging
internal import PeerAPI
internal import PeerCore
internal import PeerProbing
internal import PeerReactor
internal import PeerServices
internal import PeerStorage
internal import PeerTokens
internal import PeerWire

/// What lies in the home, opened.
struct OpenedHome: Sendable {
    let home: Home
    let keys: KeyRing
    /// Of this node's own mesh; made for a relay that has none.
    let meshKey: MeshKeyFile?
    let isMeshKeyNew: Bool
    let knownRelays: KnownRelays
    let membershipSaver: CoalescingWriter<KnownRelays>
    let table: IPTable
    /// What was in it before was damaged.
    let isTableNew: Bool
    let writer: TableWriter
    let receipts: ReceiptWriter
    let publisher: CoalescingWriter<Documents>
    let hook: AddressHook?
    let tokens: TokenService
    let kept: KeptRows
    let client: NodeClient
    let process: ProcessStart

    static func open(_ settings: NodeSettings, _ log: Logger) async throws(CommandError) -> OpenedHome {
        let home = try HomeAccess.open(settings.home)
        if let exposure = home.exposure { log.warning("\(exposure)") }
        do throws(StorageError) {
            let seed = try KeyFile.loadOrCreate(at: home.paths.nodeKey) {
                SystemRandomNumberGenerator.bytes(NodeIdentity.seedByteCount)
            }
            guard let identity = NodeIdentity(seed: seed) else {
                throw StorageError(.damaged, path: home.paths.nodeKey, detail: "it holds no node key")
            }
            let history = try KeyHistoryFile.load(home.paths, of: identity.key, at: WallTime.now.seconds)
            let knownRelays = try MembershipFile.load(home.paths)
            // A relay that is started with a join link for the first time is of that mesh.
            let asked = settings.relays.reduce(into: knownRelays) { known, choice in choice.apply(to: &known) }
            let (meshKey, isMeshKeyNew) = try HomeAccess.meshKey(home, asked, isRelay: settings.isRelay)
            let keys: KeyRing
            do throws(TLSFailure) {
                keys = try KeyRing(identity, seed: seed, history: history, meshKeys: meshKey?.keys(at: .now) ?? [])
            } catch {
                throw StorageError(.failed, path: home.paths.nodeKey, detail: "\(error)")
            }
            let membershipFile = MembershipFile(in: home, saved: knownRelays)
            let membershipSaver = CoalescingWriter<KnownRelays>("what is known of relays", log) {
                knownRelays throws(StorageError) in
                try await membershipFile.save(knownRelays)
            }
            let now = WallTime.now
            let (table, tableWarnings) = try IPTable.open(in: home, now: now) { damage in
                log.warning("\(damage)")
            }
            let (servers, lastServers, serverWarnings) = try RegistryFile<ServerRegistry>.open(in: home, now: now)
            let (mappings, lastMappings, mappingWarnings) = try RegistryFile<MappingRegistry>.open(in: home, now: now)
            for warning in tableWarnings + serverWarnings + mappingWarnings { log.warning("\(warning)") }
            if !tableWarnings.isEmpty {
                let recovery = RegistryRecovery(lastServers, lastMappings, now: now)
                try await recovery.save(to: table)
                log.warning(
                    "took over from the registries: \(recovery.relays.count) relays, \(recovery.wishes.count) "
                        + "mappings, \(recovery.leases.count) leases"
                )
            }
            try await table.sweepTokens(at: now)
            let kept = try await KeptRows.read(from: table, at: now, log)
            let client: NodeClient
            do throws(NodeFailure) { client = try NodeClient(seed: seed) } catch {
                throw StorageError(.failed, path: home.paths.nodeKey, detail: "\(error)")
            }
            return OpenedHome(
                home: home, keys: keys, meshKey: meshKey,
                isMeshKeyNew: isMeshKeyNew, knownRelays: knownRelays, membershipSaver: membershipSaver, table: table,
                isTableNew: !tableWarnings.isEmpty, writer: TableWriter(table, log: log),
                receipts: ReceiptWriter(try ReceiptFolder.open(in: home), log: log),
                publisher: Self.publisher(servers, mappings, log),
                hook: settings.config.hook.map { AddressHook($0, log) },
                tokens: try TokenService(home: home, relay: identity.key, history: history, table: table),
                kept: kept, client: client, process: try await Self.begin(in: table, log))
        } catch {
            throw CommandError(error)
        }
    }

    /// Nobody hears of this process before its place among those of its key is on the disk. A full disk stops nobody:
    /// as long as clocks go forward they give the same order.
    private static func begin(in table: IPTable, _ log: Logger) async throws(StorageError) -> ProcessStart {
        let number = ProcessStart.number(after: try await table.lastStart(), clock: SystemFacts.nanosecondsSince1970)
        do throws(StorageError) { try await table.save(start: number) } catch {
            log.warning("that this process began cannot be written down: \(error)")
        }
        var random = SystemRandomNumberGenerator()
        return ProcessStart(number: number, instance: ProcessInstance(using: &random))
    }

    private static func publisher(
        _ servers: RegistryFile<ServerRegistry>, _ mappings: RegistryFile<MappingRegistry>, _ log: Logger
    ) -> CoalescingWriter<Documents> {
        CoalescingWriter("the registries", log) { document throws(StorageError) in
            try await servers.write(document.servers)
            try await mappings.write(document.mappings)
        }
    }

    func close() async {
        try? await table.close()
        home.close()
    }
}

/// What a former process left in the IP table, as a start needs it.
struct KeptRows: Sendable {
    var leases: [Lease]
    var retired: [RetiredKey]
    var tokenHolders: [NodeKey]
    var wishes: [MappingWish]
    var agreed: [AgreedPorts]
    var relays: [JoinedRelay]
    var seeds: [Seed]
    var records: [SignedRecord]
    var met: [MetAddress]
    var lastIssue: UInt64
    var note: String

    static func read(from table: IPTable, at now: WallTime, _ log: Logger) async throws(StorageError) -> KeptRows {
        let records = try await table.records(at: now)
        if let damage = records.damage {
            log.warning("\(records.damaged.count) records of other nodes were damaged (\(damage)); they come anew")
        }
        return KeptRows(
            leases: try await table.leases(), retired: try await table.retiredKeys(),
            tokenHolders: try await table.tokenHolders(), wishes: try await table.wishes(),
            agreed: try await table.agreedPorts(), relays: try await table.joinedRelays(),
            seeds: try await table.seeds(), records: records.records.map(\.record),
            met: try await table.metAddresses(), lastIssue: try await table.lastIssue(),
            note: try await table.ownNote())
    }
}
