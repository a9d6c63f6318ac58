internal import PeerReactor

/// The threads that this process needs are there before it promises anything: the libraries below it wait for ever, or
/// give up, when they get none.
public enum Threads {
    /// Of Swift's concurrency and the disk.
    private static let ofCommand = 4
    /// Loops, output, signals, the API, questions to other nodes, names that are looked up.
    private static var ofNode: Int { 16 + 2 * SystemFacts.processorCount }

    public static func require(forNode isNode: Bool = false) throws(CommandError) {
        do throws(SystemError) {
            try SystemThread.require(isNode ? ofNode : ofCommand)
        } catch { throw Self.error(error) }
    }

    static func error(_ error: SystemError) -> CommandError {
        guard !error.isOutOfDescriptors else {
            return CommandError(
                .failure, "no descriptors are left here (\(error)); raise the limit of open files (ulimit -n)")
        }
        let cure = "raise the limit: ulimit -u, or TasksMax in a unit of systemd"
        return CommandError(.failure, "no threads are left here (\(error)); \(cure)")
    }
}
