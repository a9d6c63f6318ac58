public import PeerWire

/// What a relay is told, and what it has done: the whole of its outside.
extension RelayCore {
    public enum Event: Sendable {
        /// A handshake is done, and whoever judged it says what the session may do. `formerly`: keys that were handed
        /// over to this one, as it has proven, the oldest first.
        case sessionProven(
            SessionID, key: NodeKey, introduction: PeerMessage.Introduction, grant: Grant, formerly: [NodeKey] = [])
        case received(SessionID, PeerMessage)
        case sessionEnded(SessionID)
        /// Answers to `hold`.
        case portsHeld(Claim, PortRange)
        /// `taken`: the first of them that something else has.
        case portsBusy(Claim, PortRange, taken: UInt16? = nil)
        /// The ports may be free, but this relay has no descriptors for them.
        case portsShort(Claim)
        /// Answer to `saveLease`.
        case leaseSaved(Claim, succeeded: Bool)
        /// Answer to `draftReceipt`.
        case receiptDrafted(Claim, SessionID, Receipt.Draft)
        /// A token was made for that key.
        case tokenMade(NodeKey)
        /// The peer showed a newer token. What it still allows goes on untouched, mappings that it does not are
        /// refused and their ports given back; counts that are over a lower limit stay until they are given back.
        case grantRenewed(SessionID, Grant)
        /// A token was revoked, or a membership ended otherwise: its sessions end within this call. Their ports refuse
        /// at once and their visitors are broken off; the leases run out as usual, for the key may come back with
        /// something better. That it does not come back with the same is up to whoever grants.
        case membershipEnded(Grant.Membership, CloseReason, detail: String)
        /// The relay's owner ends the lease of one mapping, or sends a node away with all of its leases. What was taken
        /// is not given again for `releaseSpan`.
        case ownerReleased(Claim)
        case ownerSentAway(NodeKey)
        /// The relay lets its peers go: it takes no new ones, and those that are here are told. `false`: it stays.
        case drain(Bool)
        /// The time for that is over: whoever is still here has to go, and visitors are broken off.
        case drained
        case timePassed
    }

    public enum Action: Hashable, Sendable {
        case welcome(SessionID)
        case send(SessionID, RelayMessage)
        /// Say why, then close.
        case end(SessionID, CloseReason, detail: String)
        /// Bind these ports without accepting anything; answer with `portsHeld`, `portsBusy` or `portsShort`.
        case hold(Claim, PortRange, TransportProtocols)
        /// Start accepting on the held ports, for this session, whom the filter lets in. `only`: on those that are so
        /// many after the first; all others stay as they are.
        case listen(Claim, SessionID, NetworkFilter, only: Set<UInt16>? = nil)
        /// Stop accepting: connections are refused, the ports stay bound.
        case pause(Claim, only: Set<UInt16>? = nil)
        /// The same, but whoever is in the middle of TCP's handshake comes in yet, which may take a moment. What is
        /// said of the claim after that is done at once.
        case pauseGently(Claim)
        /// Give the ports back to the system.
        case free(Claim)
        /// Write the lease down; answer with `leaseSaved`.
        case saveLease(Lease)
        case removeLease(Claim)
        /// The ports that are held for a claim are held for another one from now on; none of them accepts at present.
        case rename(Claim, to: Claim)
        /// Write down that a key was handed over to another one, for good.
        case retire(Retirement)
        /// Others took that one's place: it is not written down any more.
        case forgetRetired(NodeKey, for: Grant.Membership?)
        /// The wall clock differs from the time that passed, by so many seconds; nothing ends by that yet.
        case clockJumped(seconds: Int64)
        /// Sign a receipt for what this lease and grant promise, and answer with `receiptDrafted`; where a receipt
        /// cannot say it, the mapping goes without.
        case draftReceipt(Claim, SessionID, Lease, Grant, host: String)
        /// Dial what a peer wants checked, where it may be dialled on its word, and tell that session yes or no.
        case check(SessionID, PeerMessage.CheckRequest, by: NodeKey)
        /// Abort what visitors still have open through this session.
        case abortVisitors(SessionID)
    }
}
