import Foundation

/// Ends the program when its time is over, whatever it is doing. Visitors report on their own before that.
enum Watchdog {
    static func start(_ arguments: Arguments) throws {
        let seconds = try arguments.limit()
        let tool = arguments.tool
        Threads.start {
            Clock.sleep(milliseconds: seconds * 1000 + 2000)
            Report(tool, ok: false).with("error", "time limit of \(seconds) s reached").write()
            _exit(3)
        }
    }
}

enum Threads {
    static func start(_ body: @escaping @Sendable () -> Void) {
        let thread = Thread(block: body)
        thread.stackSize = 256 << 10
        thread.start()
    }
}
