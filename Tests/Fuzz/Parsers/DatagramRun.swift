internal import PeerWire

/// A frame of datagrams: what is understood and written again is what came in, but for what nobody looks at.
enum DatagramRun {
    static func judge(_ input: [UInt8]) -> FuzzTarget.Outcome {
        var bytes = input
        return bytes.withUnsafeMutableBytes { bytes in
            guard let frame = DatagramFrame(reading: bytes) else { return .refused }
            let written = written(frame, count: input.count)
            let meant = meaning(input)
            return written == meant ? .accepted : .flawed("\(meant) is written again as \(written)")
        }
    }

    private static func written(_ frame: borrowing DatagramFrame, count: Int) -> [UInt8] {
        var out = [UInt8](repeating: 0, count: count)
        out.withUnsafeMutableBytes { out in
            guard let place = out.baseAddress else { return }
            switch frame {
            case .payload(let flow, let payload):
                DatagramFrame.writePayload(flow, to: place)
                copy(payload, to: place + DatagramFrame.payloadOverhead)
            case .opening(let flow, let opening, let payload):
                DatagramFrame.write(.opening, flow, opening, to: place)
                copy(payload, to: place + DatagramFrame.openingOverhead)
            case .announcement(let flow, let opening): DatagramFrame.write(.announcement, flow, opening, to: place)
            case .piece(let flow, let piece, let part):
                DatagramFrame.writePiece(flow, piece, to: place)
                copy(part, to: place + DatagramFrame.pieceOverhead)
            case .known(let flow): DatagramFrame.writeNotice(.known, flow, to: place)
            case .unknown(let flow): DatagramFrame.writeNotice(.unknown, flow, to: place)
            case .over(let flow): DatagramFrame.writeNotice(.over, flow, to: place)
            case .probe(let probe): DatagramFrame.write(probe, to: place, count: count)
            case .answer(let answer): DatagramFrame.write(answer, to: place, count: count)
            }
        }
        return out
    }

    private static func copy(_ bytes: UnsafeMutableRawBufferPointer, to place: UnsafeMutableRawPointer) {
        if let base = bytes.baseAddress { place.copyMemory(from: base, byteCount: bytes.count) }
    }

    /// The input without what is passed over: what fills a probe or an answer up, flags that are not known, and what
    /// stands behind an announcement.
    private static func meaning(_ input: [UInt8]) -> [UInt8] {
        var meant = input
        switch input.first.flatMap(DatagramFrame.Kind.init) {
        case .probe:
            meant[5] &= 1
            clear(&meant, from: 8)
        case .answer: clear(&meant, from: DatagramFrame.probeByteCount)
        case .announcement: clear(&meant, from: DatagramFrame.openingOverhead)
        default: break
        }
        return meant
    }

    private static func clear(_ bytes: inout [UInt8], from start: Int) {
        for index in bytes.indices.dropFirst(start) { bytes[index] = 0 }
    }
}
