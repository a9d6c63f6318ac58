import Glibc
import PeerCore
import Testing

@testable import PeerReactor

func temporaryFolder() throws -> String {
    var template = Array("/tmp/reactor-XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else { throw SystemError("mkdtemp") }
    return String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
}

/// Leaves this process without a free descriptor.
func takeAllDescriptors() -> [Int32] {
    // Waiting with a time-out makes the system library open some of its own; without them it would crash.
    _ = try? Awaited<Void>().next("nothing", within: 0.01)
    var limit = rlimit(rlim_cur: 300, rlim_max: 300)
    setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    var taken: [Int32] = []
    while true {
        let fd = dup(0)
        if fd < 0 { return taken }
        taken.append(fd)
    }
}

/// Processor time that this process takes while the loop has nothing to do for so long.
func processorSeconds(within seconds: Double, on loop: EventLoop) throws -> Double {
    func spent() -> Double {
        var time = timespec()
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
    }
    let before = spent()
    let timer = Awaited<Void>()
    try loop.run {
        _ = loop.schedule(after: .milliseconds(UInt64(seconds * 1_000))) { timer.tell(()) }
    }
    try timer.next("timer")
    return spent() - before
}
