import Foundation
import PeerCore
import PeerReactor
import Testing

@testable import P2PRCKit

/// A verb that only this file knows: the type, and the line that registers it in `VerbTable`.
private struct Greet: Verb {
    static let name = "greet"
    let whom: String

    func perform(in node: Greeter, _ answer: @escaping (ControlReply) -> Void) {
        answer(ControlReply(status: .success, text: "\(node.greeting), \(whom)", document: nil))
    }
}

private final class Greeter {
    let greeting = "good morning"
}

@Suite("A verb")
struct VerbTests {
    private let table = VerbTable<Greeter>([Greet.self])

    @Test func `is one type and one line: what is asked comes to the node, and its answer back`() throws {
        let line = try VerbTable<Greeter>.line(of: Greet(whom: "Ada"))
        let verb = try #require(table.verb(in: line.dropLast()))
        var replies: [String] = []
        verb.perform(in: Greeter()) { replies.append($0.text) }
        #expect(replies == ["good morning, Ada"])
    }

    @Test(arguments: [
        #"{"part":{"whom":"Ada"}}"#, #"{"greet":{}}"#, #"{"greet":{"whom":"a"},"part":{}}"#, "{}", "[]", "greet", "",
    ])
    func `is not understood where its name or a field is none that is known`(line: String) {
        #expect(table.verb(in: Array(line.utf8)) == nil)
    }

    /// As programs of former versions write them.
    private static let former: [(any Verb<NodeController>, String)] = [
        (StatusVerb(), #"{"status":{}}"#),
        (ViewServersVerb(), #"{"viewServers":{}}"#),
        (ViewMappingsVerb(), #"{"viewMappings":{}}"#),
        (ExplainVerb(), #"{"explain":{}}"#),
        (NetcheckVerb(), #"{"netcheck":{}}"#),
        (UnmapVerb(mapping: "web"), #"{"unmap":{"_0":"web"}}"#),
        (ReleaseVerb(holder: "20000"), #"{"release":{"_0":"20000"}}"#),
        (
            JoinVerb(request: JoinRequest(relay: "relay")),
            #"{"join":{"_0":{"acceptsOpen":false,"isTemporary":false,"relay":"relay"}}}"#
        ),
        (TrustVerb(relay: "relay", key: "00"), #"{"trust":{"_0":"relay","key":"00"}}"#),
        (TrustVerb(relay: "relay", key: nil), #"{"trust":{"_0":"relay"}}"#),
        (LeaveVerb(relay: "relay"), #"{"leave":{"_0":"relay"}}"#),
        (DrainVerb(order: .undo), #"{"drain":{"_0":{"undo":{}}}}"#),
        (DrainVerb(order: .begin(seconds: 5)), #"{"drain":{"_0":{"begin":{"seconds":5}}}}"#),
        (TokenVerb(command: .revoke("a")), #"{"token":{"_0":{"revoke":{"_0":"a"}}}}"#),
        (JoinLinkVerb(), #"{"joinLink":{}}"#),
        (RotateMeshKeyVerb(keepSeconds: 5), #"{"rotateMeshKey":{"keepSeconds":5}}"#),
        (RotateNodeKeyVerb(keepSeconds: 5), #"{"rotateNodeKey":{"keepSeconds":5}}"#),
        (TableVerb(command: .setNote("n")), #"{"table":{"_0":{"setNote":{"_0":"n"}}}}"#),
        (RefreshTableVerb(), #"{"refreshTable":{}}"#),
    ]

    @Test(arguments: former.indices) func `of former versions is understood as it was`(index: Int) throws {
        let (verb, former) = Self.former[index]
        let found = try #require(VerbTable(Parts.verbs).verb(in: Array(former.utf8)), "\(former)")
        #expect(try sorted(VerbTable<NodeController>.line(of: verb)) == former)
        #expect(type(of: found) == type(of: verb))
    }

    private func sorted(_ line: [UInt8]) throws -> String {
        let object = try JSONSerialization.jsonObject(with: Data(line))
        return String(
            decoding: try JSONSerialization.data(withJSONObject: object, options: .sortedKeys), as: UTF8.self)
    }

    @Test func `has a name of its own`() {
        #expect(VerbTable(Parts.verbs).names.count == Parts.verbs.count)
        let tried = Set(Self.former.map { type(of: $0.0).name })
        #expect(VerbTable(Parts.verbs).names.subtracting(tried) == ["map"])
    }
}
