internal import PeerWire

/// How a mapping comes to its receipt: the relay signs what it promises and sends it, the peer signs the same.
extension RelayCore {
    /// So many may wait for their answer; a peer that objects to them never gives one.
    static let maximumOpenReceipts = 8

    /// Has the terms that count now written down and signed; nothing while visitors are not let in yet.
    func promise(_ claim: Claim) -> [Action] {
        guard let agreement = agreements[claim], agreement.stage == .active || agreement.stage == .paused,
            let session = sessions[agreement.session], let lease = leases[claim]
        else { return [] }
        var grant = session.grant
        grant.limits = policy.limits(of: grant)
        return [.draftReceipt(claim, agreement.session, lease, grant, host: session.dialled)]
    }

    mutating func receiptDrafted(_ claim: Claim, _ id: SessionID, _ draft: Receipt.Draft) -> [Action] {
        guard agreements[claim]?.session == id else { return [] }
        agreements[claim]?.receipts.append(draft)
        if agreements[claim]?.receipts.count ?? 0 > Self.maximumOpenReceipts {
            agreements[claim]?.receipts.removeFirst()
        }
        return [.send(id, .receipt(draft))]
    }

    /// `false` for a signature that fits none of those that wait for one. The peer answers in order, so those before it
    /// wait no longer. Where none waits, this is a word about what was taken back meanwhile.
    mutating func isReceiptSigned(_ claim: Claim, _ id: SessionID, _ signature: [UInt8]) -> Bool {
        guard let agreement = agreements[claim], agreement.session == id, !agreement.receipts.isEmpty else {
            return true
        }
        let found = agreement.receipts.firstIndex { $0.with(peerSignature: signature).isVerified }
        guard let found else { return false }
        agreements[claim]?.receipts.removeFirst(found + 1)
        return true
    }
}

extension Receipt {
    fileprivate var isVerified: Bool {
        do throws(ReceiptFault) { try verify() } catch { return false }
        return true
    }
}
