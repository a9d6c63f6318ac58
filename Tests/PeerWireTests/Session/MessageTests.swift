import FuzzParsers
import PeerWire
import Testing

@Suite struct MessageTests {
    @Test(arguments: Samples.messages.map(\.message)) func `every message comes back as it was sent`(
        message: EitherMessage
    ) throws {
        #expect(try decoded(message.frame) == message)
        #expect(try frames(of: message.bytes, chunks: message.bytes.count) == [message.frame])
    }

    @Test func `every reason and every state comes back as it was sent`() throws {
        let mapping = Samples.mapping
        for reason in CloseReason.allCases {
            #expect(try decoded(PeerMessage.close(reason, detail: "").frame) == .peer(.close(reason, detail: "")))
        }
        for reason in RefusalReason.allCases {
            #expect(
                try decoded(PeerMessage.decline(mapping, attempt: 1, reason: reason).frame)
                    == .peer(.decline(mapping, attempt: 1, reason: reason)))
            #expect(
                try decoded(RelayMessage.refusal(mapping, reason: reason, detail: "d").frame)
                    == .relay(.refusal(mapping, reason: reason, detail: "d")))
        }
        for state in MappingState.allCases {
            #expect(
                try decoded(PeerMessage.report(mapping, state: state).frame) == .peer(.report(mapping, state: state)))
        }
    }

    @Test func `the numbers of reasons and states never change`() {
        #expect(CloseReason.allCases.map(\.rawValue) == Array(1...11))
        #expect(RefusalReason.allCases.map(\.rawValue) == Array(1...8) + [16, 17])
        #expect(MappingState.allCases.map(\.rawValue) == Array(1...9))
    }

    @Test func `every wish at its edges comes back as it was sent`() throws {
        let wishes: [PortWish] = [
            .any(count: 1), .any(count: 65_535), .exactly(.all), .exactly(PortRange(first: 65_535, count: 1)!),
            .preferably(PortRange(first: 1, count: 1)!), .preferably(PortRange(first: 1024, last: 65_535)!),
        ]
        for wish in wishes {
            for protocols: TransportProtocols in [.tcp, .udp, [.tcp, .udp]] {
                let request = PeerMessage.request(
                    .init(mapping: Samples.mapping, protocols: protocols, wish: wish, target: "server port"))
                #expect(try decoded(request.frame) == .peer(request))
            }
        }
    }

    @Test(arguments: Samples.messages.map(\.message)) func `fields that are not known are skipped`(
        message: EitherMessage
    ) throws {
        let fields = message.frame.fields
        let more = [RawField(tag: 0, value: []), RawField(tag: 99, value: [1, 2, 3]), RawField(tag: 255, value: [0])]
        #expect(try decoded(message.frame.with(more + fields)) == message)
        #expect(try decoded(message.frame.with(fields + more)) == message)
    }

    @Test(arguments: Samples.messages.map(\.message)) func `the order of fields does not matter`(
        message: EitherMessage
    ) throws {
        #expect(try decoded(message.frame.with(message.frame.fields.reversed())) == message)
    }

    @Test(arguments: Samples.messages.map(\.message)) func `each end refuses what only the other one says`(
        message: EitherMessage
    ) {
        let isFromBoth = [0x05, 0x10, 0x11].contains(message.frame.type)
        func code(_ read: (Frame) throws(WireError) -> Void) -> WireError.Code? {
            do throws(WireError) { try read(message.frame) } catch { return error.code }
            return nil
        }
        let atRelay = code { frame throws(WireError) in _ = try PeerMessage(frame) }
        let atPeer = code { frame throws(WireError) in _ = try RelayMessage(frame) }
        switch message {
        case _ where isFromBoth: #expect(atRelay == nil && atPeer == nil)
        case .peer: #expect(atRelay == nil && atPeer == .wrongDirection)
        case .relay: #expect(atRelay == .wrongDirection && atPeer == nil)
        }
    }

    @Test func `of a repeated field the last counts`() throws {
        let frame = PeerMessage.ping(1).frame
        #expect(try decoded(frame.with(frame.fields + PeerMessage.ping(2).frame.fields)) == .peer(.ping(2)))
    }

    @Test func `types that are not known are skipped below 0x80 and refused from there on`() throws {
        let known = Set(Samples.messages.map(\.message.frame.type))
        for type in UInt8.min ... .max where !known.contains(type) {
            let frame = Frame(type: type, payload: [0xff])
            if type < 0x80 {
                #expect(try EitherMessage(frame) == nil)
            } else {
                #expect(wireError(of: frame)?.code == .unknownRequiredMessage)
                #expect(wireError(of: frame)?.detail.contains("\(type)") == true)
            }
        }
    }

    @Test(arguments: Samples.messages.map(\.message)) func `a missing field is named, and a missing text is empty`(
        message: EitherMessage
    ) throws {
        let fields = message.frame.fields
        for (index, field) in fields.enumerated()
        where Samples.optionalTags[message.frame.type]?.contains(field.tag) != true {
            var fewer = fields
            fewer.remove(at: index)
            let frame = message.frame.with(fewer)
            if Samples.listTags[frame.type]?.contains(field.tag) == true {
                #expect(try decoded(frame).frame == frame)
            } else if Samples.isPlace(frame.type, field.tag) {
                #expect(try #require(wireError(of: frame)).detail.contains("field \(field.tag) "))
            } else if Samples.textTags[frame.type]?.contains(field.tag) == true {
                let found = try decoded(frame)
                #expect(found.frame.fields.first { $0.tag == field.tag }?.value == [])
            } else {
                // Without a wish, the last of its three forms is the one that is missed.
                let missed = frame.type == 0x20 && (3...5).contains(field.tag) ? 5 : field.tag
                let fault = try #require(wireError(of: frame))
                #expect(fault.code == .missingField)
                #expect(fault.detail.contains("field \(missed) "))
            }
        }
    }

    @Test(arguments: Samples.messages.map(\.message)) func `a field of the wrong length is named`(
        message: EitherMessage
    ) throws {
        let fields = message.frame.fields
        for (index, field) in fields.enumerated()
        where Samples.textTags[message.frame.type]?.contains(field.tag) != true
            && Samples.variableTags[message.frame.type]?.contains(field.tag) != true
        {
            let isList = Samples.listTags[message.frame.type]?.contains(field.tag) == true
            for value in [field.value + [0], Array(field.value.dropLast())] + (isList ? [] : [[]])
            where value != field.value {
                var changed = fields
                changed[index].value = value
                let fault = try #require(wireError(of: message.frame.with(changed)))
                #expect(fault.code == .malformedField)
                #expect(fault.detail.contains("field \(field.tag) "))
            }
        }
    }

    @Test func `a hello has whole proofs, at most eight, and a token of printable letters`() throws {
        func hello(_ proofs: Int, _ token: [UInt8]) -> Frame {
            PeerMessage.hello(.init()).frame.with([
                RawField(tag: 1, value: [UInt8](repeating: 7, count: proofs)), RawField(tag: 2, value: token),
            ])
        }
        #expect(wireError(of: hello(256, [UInt8](repeating: 0x65, count: 4_096))) == nil)
        let tooLong = [UInt8](repeating: 0x65, count: PeerMessage.Hello.maximumToken + 1)
        for bad in [hello(31, []), hello(288, []), hello(0, [0x20]), hello(0, [0x80]), hello(0, tooLong)] {
            #expect(wireError(of: bad)?.code == .malformedField)
        }
    }

    @Test(arguments: [0, 17, 255] as [UInt8]) func `a welcome with no groups of channels, or too many, is malformed`(
        count: UInt8
    ) throws {
        let welcome = try #require(Samples.messages.first { $0.name == "welcome-groups" }).message.frame
        let fields = welcome.fields.map { $0.tag == 7 ? RawField(tag: 7, value: [count]) : $0 }
        #expect(wireError(of: welcome.with(fields))?.code == .malformedField)
    }

    @Test func `a field that runs past its frame is malformed`() {
        for payload: [UInt8] in [[1], [1, 0], [1, 0, 1], [1, 0, 8, 0, 0, 0, 0, 0, 0, 0], [1, 0xff, 0xff, 0]] {
            #expect(wireError(of: Frame(type: 0x10, payload: payload))?.code == .malformedField)
        }
    }

    @Test(
        arguments: [
            (PeerMessage.close(.leaving, detail: "").frame, 1, [0]),
            (PeerMessage.close(.leaving, detail: "").frame, 1, [200]),
            (RelayMessage.refusal(Samples.mapping, reason: .portTaken, detail: "").frame, 2, [9]),
            (PeerMessage.decline(Samples.mapping, attempt: 1, reason: .withdrawn).frame, 3, [18]),
            (PeerMessage.report(Samples.mapping, state: .active).frame, 2, [10]),
            (Samples.messages.first { $0.name == "report-ports" }!.message.frame, 4, []),
            (Samples.messages.first { $0.name == "report-ports" }!.message.frame, 4, [5, 0]),
            (Samples.messages.first { $0.name == "report-ports" }!.message.frame, 4, [5, 0, 0]),
            (Samples.messages.first { $0.name == "report-ports" }!.message.frame, 4, [10, 0, 1]),
            (Samples.messages.first { $0.name == "report-ports" }!.message.frame, 4, [5, 4, 0, 7, 0, 1]),
            (Samples.messages.first { $0.name == "commit-ports" }!.message.frame, 3, [7, 0, 1, 5]),
            (Samples.messages.first { $0.name == "request-any" }!.message.frame, 2, [0]),
            (Samples.messages.first { $0.name == "request-any" }!.message.frame, 2, [4]),
            (Samples.messages.first { $0.name == "request-any" }!.message.frame, 3, [0, 0]),
            (Samples.messages.first { $0.name == "request-exactly" }!.message.frame, 4, [0, 0, 0, 1]),
            (Samples.messages.first { $0.name == "request-exactly" }!.message.frame, 4, [0, 1, 0, 0]),
            (Samples.messages.first { $0.name == "request-preferably" }!.message.frame, 5, [0xff, 0xff, 0, 2]),
            (Samples.messages.first { $0.name == "offer" }!.message.frame, 3, [0, 0, 0, 0]),
        ] as [(Frame, UInt8, [UInt8])]) func `a value that means nothing is refused and its field named`(
            frame: Frame, tag: UInt8, value: [UInt8]
        ) throws
    {
        let fields = frame.fields.map { $0.tag == tag ? RawField(tag: tag, value: value) : $0 }
        let fault = try #require(wireError(of: frame.with(fields)))
        #expect(fault.code == .malformedField)
        #expect(fault.detail.contains("field \(tag) "))
    }

    // MARK: Texts

    /// All fields that hold text, in all messages.
    static let texts: [(frame: Frame, tag: UInt8)] = Samples.messages.flatMap { sample in
        (Samples.textTags[sample.message.frame.type] ?? []).sorted().map { (sample.message.frame, $0) }
    }

    static func frame(_ frame: Frame, _ tag: UInt8, _ text: [UInt8]) -> Frame {
        frame.with(frame.fields.map { $0.tag == tag ? RawField(tag: tag, value: text) : $0 })
    }

    @Test func `a text with a control character is refused`() throws {
        let controls = Array(UInt32(0)..<0x20) + Array(UInt32(0x7f)...0x9f)
        for (frame, tag) in Self.texts {
            for control in controls {
                let text = Array("a\(Character(Unicode.Scalar(control)!))b".utf8)
                let fault = try #require(wireError(of: Self.frame(frame, tag, text)), "U+\(control) in field \(tag)")
                #expect(fault.code == .malformedField)
                #expect(fault.detail.contains("field \(tag) "))
            }
        }
    }

    @Test func `bytes that are no UTF-8 are refused`() {
        for (frame, tag) in Self.texts {
            for text: [UInt8] in [[0xff], [0xc3], [0xc0, 0xaf], [0xed, 0xa0, 0x80], [0xf4, 0x90, 0x80, 0x80]] {
                #expect(wireError(of: Self.frame(frame, tag, text))?.code == .malformedField)
            }
        }
    }

    @Test func `a text has at most 512 bytes`() throws {
        for (frame, tag) in Self.texts where !Samples.isPlace(frame.type, tag) {
            let longest = [UInt8](repeating: 0x61, count: 512)
            #expect(try decoded(Self.frame(frame, tag, longest)).frame.fields.contains { $0.value == longest })
            #expect(wireError(of: Self.frame(frame, tag, longest + [0x61]))?.code == .malformedField)
        }
    }

    @Test func `a longer text is cut where a character ends`() throws {
        let long = String(repeating: "a", count: 511) + "ü" + String(repeating: "b", count: 100)
        #expect(
            try decoded(PeerMessage.close(.leaving, detail: long).frame)
                == .peer(.close(.leaving, detail: String(repeating: "a", count: 511))))
        // One character of 21 bytes.
        let family = String(repeating: "e" + String(repeating: "\u{301}", count: 10), count: 30)
        guard case .peer(.close(_, let detail)) = try decoded(PeerMessage.close(.leaving, detail: family).frame) else {
            Issue.record("no close")
            return
        }
        #expect(detail.utf8.count <= 512 && detail.utf8.count > 512 - 25)
        #expect(family.hasPrefix(detail))
    }

    @Test func `what is written is never refused, whatever the text`() throws {
        #expect(
            try decoded(PeerMessage.close(.leaving, detail: "two\nlines\u{1b}[31m\u{85}").frame)
                == .peer(.close(.leaving, detail: "twolines[31m")))
    }

    @Test func `the largest message fits a frame many times over`() throws {
        let text = String(repeating: "€", count: 1_000)
        let introduction = PeerMessage.introduction(
            .init(
                instance: ProcessInstance(bytes: .counting(from: 0, 16))!, name: text, dialled: text, software: text))
        let hello = PeerMessage.hello(
            .init(
                proofs: Array(repeating: .counting(from: 0), count: 8),
                token: String(repeating: "e", count: PeerMessage.Hello.maximumToken)))
        for message in [introduction, hello] {
            #expect(message.frame.payload.count < Frame.maximumPayload / 3)
            #expect(throws: Never.self) { try decoded(message.frame) }
        }
    }
}
