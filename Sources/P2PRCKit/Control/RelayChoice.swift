internal import PeerCore
public import PeerReactor
public import PeerWire

/// A relay that a user names: by address, or by a join link that says why it may be trusted and lets this node in.
public struct RelayChoice: Hashable, Sendable {
    /// The environment variable that may hold a join link.
    public static let variable = "P2PRC_JOIN_LINK"
    /// In the place of an address: whichever the mesh knows to be best.
    public static let auto = "auto"

    public var endpoint: Endpoint
    public var link: JoinLink?
    /// A token of this relay (RFC 7519).
    public var token: String?
    /// It may take anybody and prove nothing but its key.
    public var acceptsOpen: Bool

    /// - Parameters:
    ///   - text: HOST, HOST:PORT or a join link.
    ///   - what: where the text comes from, for the error.
    public init(_ text: String, token: String? = nil, acceptsOpen: Bool, named what: String) throws(CommandError) {
        self.token = token
        self.acceptsOpen = acceptsOpen
        // Copied with a blank or a line end around it.
        let text = String(text.drop(while: \.isWhitespace).reversed().drop(while: \.isWhitespace).reversed())
        if text.contains(JoinLink.scheme) {
            // The link is a secret: the message must not repeat it.
            let reading = JoinLink.read(text)
            if reading == .mistyped {
                throw CommandError(
                    .usage,
                    "\(what): a digit of this join link is wrong; copy all of it again, "
                        + "capital letters as capital letters"
                )
            }
            guard case .link(let link) = reading,
                let endpoint = Endpoint(link.address, defaultPort: NodeSettings.defaultServerPort)
            else {
                throw CommandError(
                    .usage, "\(what): this join link is not complete; copy all of it, from p2prc:// to its last digit")
            }
            self.link = link
            self.endpoint = endpoint
        } else {
            guard text.utf8.count < 64 || text.contains(where: { $0 != "/" && !$0.isHexDigit }) else {
                throw CommandError(
                    .usage, "\(what): this is a key, or a piece of a join link; copy all of it, from p2prc:// on")
            }
            guard let endpoint = Endpoint(text, defaultPort: NodeSettings.defaultServerPort) else {
                throw CommandError(
                    .usage,
                    "\(what) \(text): write HOST or HOST:PORT, such as 203.0.113.11 or "
                        + "relay.example.org:8088, or a join link"
                )
            }
            self.endpoint = endpoint
        }
    }

    /// What it teaches about the relay, on top of what is known: nothing where that contradicts its link.
    func apply(to memberships: inout KnownRelays) {
        let address = endpoint.description
        if let link {
            guard memberships.contradiction(to: link, at: address) == nil else { return }
            memberships.join(link, at: address)
        }
        if let token { memberships.join(withToken: token, at: address) }
        if acceptsOpen { memberships.acceptOpen(at: address) }
    }

    var teachesSomething: Bool { link != nil || token != nil || acceptsOpen }
}
