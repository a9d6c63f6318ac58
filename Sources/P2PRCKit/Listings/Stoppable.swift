internal import PeerStorage

/// A listing of which less is true once its node has stopped, or was killed.
protocol Stoppable {
    /// What stays true.
    func stopped() -> Self
}

extension MappingRegistry: Stoppable {
    func stopped() -> MappingRegistry {
        var copy = self
        for index in copy.mappings.indices {
            // What waits for a relay goes on waiting.
            if copy.mappings[index].state != .waiting { copy.mappings[index].state = .offline }
            copy.mappings[index].verifiedBy = []
            copy.mappings[index].way = MappingRegistry.Mapping.Way()
            copy.mappings[index].reason = "the node is stopped"
        }
        return copy
    }
}

extension ServerRegistry: Stoppable {
    func stopped() -> ServerRegistry {
        var copy = self
        for index in copy.servers.indices where ![.isSelf, .known].contains(copy.servers[index].state) {
            copy.servers[index].state = .stopped
            copy.servers[index].encryption = nil
            copy.servers[index].reason = "the node is stopped"
        }
        return copy
    }
}
