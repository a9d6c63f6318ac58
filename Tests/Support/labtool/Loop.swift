import Glibc

/// epoll, reached by name because Glibc's module leaves it out.
private struct Epoll: @unchecked Sendable {
    typealias Create = @convention(c) (Int32) -> Int32
    typealias Control = @convention(c) (Int32, Int32, Int32, UnsafeMutableRawPointer?) -> Int32
    typealias Wait = @convention(c) (Int32, UnsafeMutableRawPointer, Int32, Int32) -> Int32

    let create: Create
    let control: Control
    let wait: Wait

    static let system = Epoll()

    private init() {
        let library = dlopen(nil, RTLD_NOW)
        create = unsafeBitCast(dlsym(library, "epoll_create1"), to: Create.self)
        control = unsafeBitCast(dlsym(library, "epoll_ctl"), to: Control.self)
        wait = unsafeBitCast(dlsym(library, "epoll_wait"), to: Wait.self)
    }

    // struct epoll_event is packed on x86-64 alone.
    #if arch(x86_64)
    static let eventSize = 12
    static let dataOffset = 4
    #else
    static let eventSize = 16
    static let dataOffset = 8
    #endif
}

/// What a descriptor waits for, and what happened to it.
struct Interest: OptionSet {
    let rawValue: UInt32
    static let read = Interest(rawValue: 0x001)
    static let write = Interest(rawValue: 0x004)
    static let error = Interest(rawValue: 0x008)
    static let hangUp = Interest(rawValue: 0x010)
}

/// One thread, many sockets: enough for thousands of connections.
final class Loop {
    private let epoll = Epoll.system.create(0)
    private let events = UnsafeMutableRawPointer.allocate(byteCount: Epoll.eventSize * 512, alignment: 8)
    private var handlers: [Int32: (generation: UInt32, body: (Interest) -> Void)] = [:]
    private var generation: UInt32 = 0
    private var timers: [(due: Int, body: () -> Void)] = []
    private var stopped = false

    func add(_ fd: Int32, _ interest: Interest, _ body: @escaping (Interest) -> Void) {
        generation &+= 1
        handlers[fd] = (generation, body)
        control(1, fd, interest)
    }

    func change(_ fd: Int32, _ interest: Interest) { control(3, fd, interest) }

    /// Forgets the descriptor and closes it.
    func remove(_ fd: Int32) {
        handlers[fd] = nil
        control(2, fd, [])
        close(fd)
    }

    func after(milliseconds: Int, _ body: @escaping () -> Void) {
        timers.append((Clock.milliseconds() + milliseconds, body))
    }

    func stop() { stopped = true }

    /// Runs until `stop`, or until the deadline; true if it was stopped.
    @discardableResult
    func run(seconds: Int) -> Bool {
        let deadline = Clock.milliseconds() + seconds * 1000
        stopped = false
        while !stopped {
            let now = Clock.milliseconds()
            if now >= deadline { return false }
            let due = timers.filter { $0.due <= now }
            timers.removeAll { $0.due <= now }
            for timer in due { timer.body() }
            if stopped { break }
            let next = min(deadline, timers.map(\.due).min() ?? deadline)
            let count = Epoll.system.wait(epoll, events, 512, Int32(max(0, next - Clock.milliseconds())))
            for index in 0..<Int(max(0, count)) {
                let event = events + index * Epoll.eventSize
                let what = event.loadUnaligned(as: UInt32.self)
                let data = event.loadUnaligned(fromByteOffset: Epoll.dataOffset, as: UInt64.self)
                let fd = Int32(truncatingIfNeeded: data)
                // A descriptor closed and opened anew within this batch has another generation.
                guard let handler = handlers[fd], handler.generation == UInt32(data >> 32) else { continue }
                handler.body(Interest(rawValue: what))
            }
        }
        return true
    }

    private func control(_ operation: Int32, _ fd: Int32, _ interest: Interest) {
        withUnsafeTemporaryAllocation(byteCount: 16, alignment: 8) { event in
            event.storeBytes(of: interest.rawValue, as: UInt32.self)
            let data = UInt64(handlers[fd]?.generation ?? 0) << 32 | UInt64(UInt32(bitPattern: fd))
            let place = event.baseAddress! + Epoll.dataOffset
            withUnsafeBytes(of: data) { place.copyMemory(from: $0.baseAddress!, byteCount: 8) }
            _ = Epoll.system.control(epoll, operation, fd, event.baseAddress)
        }
    }
}
