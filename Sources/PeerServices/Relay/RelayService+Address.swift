internal import PeerCore
internal import PeerReactor
internal import PeerWire

/// Where this relay is, as it says itself: no single peer's word.
extension RelayService {
    /// What `--advertise` says.
    var advertised: String? { setup.advertised }

    /// The host by which others reach this relay: what `--advertise` says, or what its members' sessions show.
    public var publicHost: String? {
        advertised ?? addressVote.host(likeliest: dialJudge.likeliestOwnHost)?.description
    }

    /// By which visitors reach what that session has: as its peer reached this relay, where the connection shows it.
    func host(of id: SessionID) -> String? {
        guard let session = sessions[id], let dialled = core.session(id)?.dialled else { return advertised }
        guard advertised == nil, let local = session.localHost, HostAddress(dialled) != local else { return dialled }
        return publicHost ?? local.description
    }
}
