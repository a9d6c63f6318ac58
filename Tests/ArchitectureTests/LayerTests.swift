import Testing

/// What a target may import, and why nothing else.
struct Layer: Sendable, CustomStringConvertible {
    let name: String
    let allowed: Set<String>
    let reason: String
    var description: String { name }

    static let all = [
        Layer(
            name: "PeerWire", allowed: ["Crypto"],
            reason: "bytes without I/O: what it reads and writes can be tested byte by byte, and fuzzed"),
        Layer(
            name: "PeerCore", allowed: ["PeerWire"],
            reason: "decisions without I/O: every race and loss is an ordinary fast test with time as an argument"),
        Layer(
            name: "PeerRatchet", allowed: ["Crypto", "PeerCore", "PeerWire"],
            reason: "keys and records between two nodes, without I/O, clock or randomness: others' programs judge it"),
        Layer(
            name: "PeerReactor",
            allowed: [
                "Glibc", "CDatagrams", "CLinux", "COpenSSL", "CRecords", "Synchronization", "PeerCore", "PeerWire",
            ],
            reason: "the only code that touches sockets; it knows no disk, no service and no configuration"),
        Layer(
            name: "PeerDataPlane", allowed: ["PeerReactor", "PeerCore", "PeerWire"],
            reason:
                "visitors' bytes and the ways that they take: no disk, no log, no session's handshake, so that it can "
                + "be measured and fuzzed alone"),
        Layer(
            name: "PeerProbing", allowed: ["Glibc", "CCurl", "COpenSSL", "PeerCore", "PeerWire"],
            reason: "asks other nodes through libcurl, on a thread of its own; what and whom, it is told"),
        Layer(
            name: "PeerStorage",
            allowed: [
                "Glibc", "Dispatch", "Synchronization", "FoundationEssentials", "GRDB", "PeerCore", "PeerWire",
            ],
            reason: "the only code that touches the disk; it knows no sockets and no loops"),
        Layer(
            name: "PeerTOML", allowed: ["CTOML", "PeerWire"],
            reason: "the one place that hands text to the TOML library: behind limits of ours, and without I/O"),
        Layer(
            name: "PeerTokens", allowed: ["JWTKit", "FoundationEssentials", "PeerCore", "PeerWire"],
            reason: "tokens are made and judged by a library; its types stay in here, and it does no I/O"),
        Layer(
            name: "PeerAPI",
            allowed: [
                "Hummingbird", "HummingbirdCore", "HTTPTypes", "NIOCore", "NIOPosix", "NIOHTTP1", "NIOHTTPTypes",
                "NIOHTTPTypesHTTP1", "ServiceLifecycle", "Logging", "FoundationEssentials", "PeerWire",
            ],
            reason: "the HTTP library stays in here: its answers are handed in, and it listens on a Unix socket"),
        Layer(
            name: "PeerServices",
            allowed: [
                "PeerDataPlane", "PeerReactor", "PeerProbing", "PeerStorage", "PeerCore", "PeerWire", "Logging",
            ],
            reason: "shells that run the machines: system calls belong to PeerReactor, SQL to PeerStorage"),
        Layer(
            name: "P2PRCKit",
            allowed: [
                "PeerAPI", "PeerServices", "PeerDataPlane", "PeerTokens", "PeerReactor", "PeerProbing", "PeerStorage",
                "PeerTOML", "PeerCore", "PeerWire", "CLinux", "Logging", "Glibc", "Synchronization",
                "FoundationEssentials",
            ],
            reason: "the one place that names concrete parts; it talks to the database through PeerStorage only"),
        Layer(
            name: "p2prc", allowed: ["ArgumentParser", "P2PRCKit"],
            reason: "the command line parses, calls and prints; logic belongs to P2PRCKit, where others can use it"),
    ]
}

@Suite("Layers")
struct LayerTests {
    @Test("import only downwards", arguments: Layer.all)
    func imports(_ layer: Layer) {
        for file in SourceTree.sources where file.target == layer.name {
            for (number, module) in file.imports where !layer.allowed.contains(module) {
                Issue.record("\(file):\(number) imports \(module); \(layer.name) is \(layer.reason)")
            }
        }
    }

    @Test("each have their rule here, and their sources")
    func complete() {
        let targets = Set(SourceTree.sources.map(\.target))
        #expect(targets.subtracting(Layer.all.map(\.name)) == [], "a target without a rule")
        #expect(Set(Layer.all.map(\.name)).subtracting(targets) == [], "a rule without a target")
    }

    private static let forbidden = [
        "Date", "ContinuousClock", "SuspendingClock", "DispatchTime", "Task", "Thread", "DispatchQueue", "print",
        "debugPrint", "readLine", "SystemRandomNumberGenerator", "FileManager", "FileHandle", "ProcessInfo", "getenv",
        "socket", "open", "fopen", "clock_gettime", "usleep", "sleep", "async", "await", "actor",
    ]

    @Test("without I/O use no clock, no random numbers of their own and no input or output")
    func pure() {
        for file in SourceTree.sources where file.target == "PeerWire" || file.target == "PeerCore" {
            for (number, text) in file.code {
                let words = text.split { !($0.isLetter || $0.isNumber || $0 == "_") }.map(String.init)
                for word in words where Self.forbidden.contains(word) {
                    Issue.record("\(file):\(number) says \(word): time, chance and the world come in as arguments")
                }
                let drawsItself =
                    text.contains(".random(") && !text.contains("using:")
                    || text.contains(".randomElement()") || text.contains(".shuffled()") || text.contains(".shuffle()")
                if drawsItself {
                    Issue.record("\(file):\(number) draws from the system's random numbers; take a generator instead")
                }
            }
        }
    }
}
