internal import Logging
internal import PeerCore
internal import PeerReactor

/// Descriptors that are missing here: neither the target's fault nor the relay's, so this node has to say it.
extension PeerService {
    func ranShort() {
        guard shortage.noted(1, at: loop.clock()) else { return }
        log.warning(
            "no descriptors are left: visitors are refused here; raise the limit of open "
                + "files (ulimit -n, LimitNOFILE=)"
        )
        host?.changed()
    }

    func lookAtShortage() {
        // Nobody was refused for a while.
        guard shortage.timePassed(at: loop.clock(), isShort: { false }) != nil else { return }
        log.info("there are descriptors again")
        host?.changed()
    }
}
