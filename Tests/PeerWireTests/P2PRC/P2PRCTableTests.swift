import Foundation
import PeerWire
import Testing

/// Every form that `ip_table.json` had, from fixtures that were written by hand after P2PRC's sources and history.
@Suite struct P2PRCTableTests {
    static func fixture(_ name: String) throws -> [UInt8] {
        let folder = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "Fixtures")
        return Array(try Data(contentsOf: folder.appending(path: "\(name).json")))
    }

    static func table(_ text: String) throws -> P2PRCTable { try P2PRCTable(json: Array(text.utf8)) }

    @Test func `the form of today comes back byte for byte`() throws {
        let bytes = try Self.fixture("current")
        let table = try P2PRCTable(json: bytes)
        #expect(table.rows.map(\.name) == ["public-7aB3dE9", "relayed-Q2w3E4r", "six"])
        #expect(
            table.rows.map(\.address?.description)
                == ["203.0.113.10:8088", "203.0.113.10:61582", "[2001:db8::5]:8088"])
        let first = try #require(table.rows.first)
        #expect(first.machineUsername == "alice" && first.bareMetalSSHPort == "22" && first.proxyServer && !first.nat)
        #expect(first.latency == 12_500_000 && first.publicKey.hasSuffix("alice@public\n"))
        #expect(first.customInformation == "Büro & Keller")
        #expect(table.rows[1].escapeImplementation == "FRP" && table.rows[1].download == 1.5)
        #expect(String(decoding: table.json(.file), as: UTF8.self) == String(decoding: bytes, as: UTF8.self))
        #expect(try P2PRCTable(json: table.json(.compact)) == table)
        #expect(!table.json(.compact).contains(UInt8(ascii: "\n")))
    }

    @Test func `a port for UDP is read, and is not where its node is dialled`() throws {
        let text = #"{"ip_address":[{"IPV4":"192.0.2.1","ServerPort":"8078","UDPServerPort":"5353"}]}"#
        let row = try #require(try Self.table(text).rows.first)
        #expect(row.udpServerPort == "5353" && row.address?.description == "192.0.2.1:8078")
        let number = try Self.table(#"{"ip_address":[{"IPV4":"192.0.2.1","udpserverport":5353}]}"#).rows.first
        #expect(number?.udpServerPort == "5353" && number?.address?.port == 8_088)
        #expect(
            String(decoding: P2PRCTable(rows: [row]).json(.compact), as: UTF8.self).contains(
                #""ServerPort":"8078","UDPServerPort":"5353""#))
    }

    @Test func `names in small letters and rows without a port are read, as in 2021`() throws {
        let rows = try P2PRCTable(json: Self.fixture("lowercase-2021")).rows
        #expect(rows.map(\.address?.description) == ["198.51.100.151:8088", "198.51.100.152:8089"])
        #expect(rows[0].latency == 139_109_233)
        #expect(rows[0].download == 6.383175565123993 && rows[0].upload == 896_786.5894533413)
        #expect(rows.allSatisfy { $0.name.isEmpty && !$0.nat })
    }

    @Test func `truth as text is read, as from 2023 to 2025`() throws {
        let rows = try P2PRCTable(json: Self.fixture("texts-2023")).rows
        #expect(rows.map(\.nat) == [false, true])
        #expect(rows.map(\.proxyServer) == [true, false])
        #expect(rows.map(\.serverPort) == ["8078", "61582"])
        #expect(rows.map(\.customInformation) == ["", "rack <3>"])
        #expect(String(decoding: P2PRCTable(rows: rows).json(.file), as: UTF8.self).contains("rack \\u003c3\\u003e"))
    }

    @Test(arguments: ["null", #"{"ip_address":[]}"#, #"{"ip_address":null,"other":1}"#])
    func `a table of nobody is read`(text: String) throws {
        let bytes = text == "null" ? try Self.fixture("null") : Array(text.utf8)
        #expect(try P2PRCTable(json: bytes).rows == [])
    }

    @Test func `what is odd in a row is passed over, and the rest of it is read`() throws {
        let rows = try P2PRCTable(json: Self.fixture("mixed-wire")).rows
        #expect(rows.map(\.name) == ["odd", "😀", ""])
        #expect(rows[0].latency == 125_000_000 && rows[0].nat && rows[0].customInformation.isEmpty)
        #expect(rows.map(\.address) == [nil, nil, nil], "a port such as 8090.0 is none")
    }

    @Test(
        arguments: [
            ("", "line 1"), ("[]", "no object"), ("{}", "no list"), (#"{"ip_address":{}}"#, "no list"),
            ("{\"ip_address\":[\n{]}", "line 2"), (#"{"ip_address":[]} x"#, "after the end"),
            (#"{"ip_address":[{"Name":"a}]}"#, "no end"), (#"{"ip_address":[{"Latency":1e999}]}"#, "no number"),
            (#"{"ip_address":[{"Latency":-}]}"#, "no number"), ("{\"ip_address\":[{\"Name\":\"a\u{1}\"}]}", "control"),
            (#"{"ip_address":[{"Name":"\x"}]}"#, "\\"), (#"{"ip_address":[{"Name":"\u12"}]}"#, "four digits"),
            (#"{"ip_address":[1 2]}"#, ","), (#"{"ip_address" []}"#, ":"), (#"{ip_address:[]}"#, "name"),
            ("error: proxy IP not found", "no value"),
        ])
    func `what is no table is refused, with its place`(text: String, culprit: String) throws {
        let fault = #expect(throws: P2PRCFault.self) { try Self.table(text) }
        #expect(fault?.description.contains(culprit) == true, "\(String(describing: fault))")
    }

    @Test func `bounds hold before anything is built`() throws {
        let row = #"{"Name":"a","IPV4":"192.0.2.1"}"#
        func rows(_ count: Int) -> [UInt8] {
            Array(#"{"ip_address":["#.utf8) + Array(repeatElement(row, count: count).joined(separator: ",").utf8)
                + Array("]}".utf8)
        }
        #expect(try P2PRCTable(json: rows(10), maximumRows: 10).rows.count == 10)
        #expect(throws: P2PRCFault.self) { try P2PRCTable(json: rows(11), maximumRows: 10) }
        #expect(throws: P2PRCFault.self) { try P2PRCTable(json: rows(10), maximumByteCount: rows(10).count - 1) }
        let deep = String(repeating: "[", count: 1_000_000)
        let nested = #expect(throws: P2PRCFault.self) { try Self.table(#"{"ip_address":"# + deep) }
        #expect(nested?.text.contains("deep") == true)
        let many = String(repeating: "0,", count: 2_000_000)
        let values = #expect(throws: P2PRCFault.self) { try Self.table(#"{"other":["# + many + "0]}") }
        #expect(values?.text.contains("too many") == true)
    }

    @Test func `a long text is cut where a character ends`() throws {
        let table = try Self.table(
            #"{"ip_address":[{"CustomInformation":""# + "a" + String(repeating: "ü", count: 2_000) + #""}]}"#)
        let text = try #require(table.rows.first?.customInformation)
        #expect(text.utf8.count == P2PRCTable.maximumText - 1)
        #expect(text.hasSuffix("ü"))
    }

    @Test func `half a pair and bytes that are no text become a mark`() throws {
        let table = try Self.table(#"{"ip_address":[{"Name":"\ud83d!"},{"Name":"\ud83d\u0041"}]}"#)
        #expect(table.rows.map(\.name) == ["\u{fffd}!", "\u{fffd}A"])
        let bytes = Array(#"{"ip_address":[{"Name":""#.utf8) + [0xff] + Array(#""}]}"#.utf8)
        #expect(try P2PRCTable(json: bytes).rows.map(\.name) == ["\u{fffd}"])
    }
}
