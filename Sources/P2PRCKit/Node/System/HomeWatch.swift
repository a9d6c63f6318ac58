internal import Logging
internal import PeerStorage

/// Says it when the home of a running node is removed, or another one is put in its place: the node serves on, but
/// nothing of it would be there after a restart.
enum HomeWatch {
    private static let interval = Duration.seconds(10)

    /// Looks now and then, off the loops, until it is cancelled. Says it once, until it is over.
    static func start(_ home: Home, _ log: Logger) -> Task<Void, Never> {
        Task {
            var wasInPlace = true
            while (try? await Task.sleep(for: interval)) != nil {
                let isInPlace = home.isInPlace
                guard isInPlace != wasInPlace else { continue }
                wasInPlace = isInPlace
                let folder = home.paths.folder
                if isInPlace {
                    log.info("the home \(folder) is in its place again")
                } else {
                    let loss = "commands do not reach this node, and its key, mappings and leases are lost when it ends"
                    let cure = "put it back, or stop this process and start again"
                    log.error("the home \(folder) was removed, or another one is in its place: \(loss); \(cure)")
                }
            }
        }
    }
}
