import Foundation
import PeerCore
import Testing

/// Whatever others may have, take or decide is counted by what costs them something, and has a bound: one table of all.
@Suite struct CountTests {
    private static let page = URL(filePath: #filePath)
        .appending(path: "../../../docs/mesh.md").standardized

    /// The rows of the table in docs/mesh.md, without their first word where it is that of the row above.
    private static func rows() throws -> [String] {
        let text = try String(contentsOf: page, encoding: .utf8)
        let part = try #require(text.components(separatedBy: "### What is counted, by what, and the bound\n").last)
        return part.components(separatedBy: "\n##")[0].split(separator: "\n").filter { $0.hasPrefix("| ") }.dropFirst()
            .map(String.init)
    }

    private static func number(_ number: Int) -> String {
        var text = ""
        for (index, digit) in String(number).reversed().enumerated() {
            if index > 0, index % 3 == 0 { text = "," + text }
            text = String(digit) + text
        }
        return text
    }

    private static func seconds(_ span: Instant.Span) -> String { number(Int(span.nanoseconds / 1_000_000_000)) }

    @Test func `the table of counts in the documents is what the program does`() throws {
        let (gossip, hosts, probes, responder) = (
            GossipLimits(), DialledHosts.Limits(), StrangerProbes.Limits(), DialBackResponder.Limits()
        )
        var pauses = [hosts.firstPause]
        while pauses.last! < hosts.longestPause {
            pauses.append(min(hosts.longestPause, pauses.last! * hosts.pauseFactor))
        }
        let n = Self.number
        let near = "/24 (/48)"
        let both = "/24 (/48), /16 (/32)"
        let networks = "source, /24 (/48), /16 (/32)"
        let gives = "the network with most gives way"
        func fair(_ all: Int) -> String {
            "\(n(all / FairRate.shareOfNear)) and \(n(all / FairRate.shareOfWide)) a "
                + "second, while less than half is left"
        }
        let expected: [(String, String, String)] = [
            ("votes on the time", near, "1"),
            ("", "/16 (/32)", n(MeshClock.votesOfWide)),
            (
                "", "all",
                "\(MeshClock.maximumVotes), for \(Self.seconds(MeshClock.span)) s; moves "
                    + "\(n(Int(MeshClock.furthest))) s at most"
            ),
            ("records of hearsay", networks, "\(n(gossip.table.capacity - gossip.table.reserved)); \(gives)"),
            ("records of nodes that were met", networks, "\(n(gossip.table.reserved)); \(gives)"),
            (
                "new records of one key", "key",
                "\(gossip.table.renewals) in \(Self.seconds(gossip.table.renewalSpan)) s"
            ),
            ("steps of gossip that are answered", "source", "\(gossip.stepsPerSource) a second"),
            ("", both, fair(gossip.stepsPerSecond)),
            ("", "all", "\(gossip.stepsPerSecond) a second"),
            (
                "posted records that are judged", "all",
                "\(n(gossip.postedPerSecond)) a second, \(n(gossip.postedAtOnce)) at once"
            ),
            ("questions of other nodes to the API", "source", "\(GossipLimits.questionsPerSource) a second"),
            ("", both, fair(GossipLimits.questionsPerSecond)),
            ("", "all", "\(n(GossipLimits.questionsPerSecond)) a second"),
            ("sources that forged", "source", "silent for \(Self.seconds(gossip.barredSpan)) s; \(n(gossip.barred))"),
            (
                "dials to hosts that never answered", "host",
                pauses.map(Self.seconds).joined(separator: ", ") + " s between two"
            ),
            ("", near, "\(hosts.failuresOfNetwork) failures an hour"),
            (
                "hosts that are remembered", "host",
                "\(n(hosts.hosts)) that answered, \(hosts.keysPerHost) keys each; \(n(hosts.hosts)) others"
            ),
            (
                "first probes of relays", "all",
                "\(probes.atOnce) at once, \(probes.perSecond) a second, \(probes.burst) after a pause"
            ),
            ("", "/24 (/48) of witnesses", "\(probes.patience) failures, then an hour of disbelief"),
            (
                "witnesses asked", "all",
                "\(Reachability.asked) at a time, 1 of them that never answered; one word of each source, "
                    + "\(Reachability.remembered) remembered"
            ),
            ("vouches", "source", "1"),
            ("", both, "\(Reachability.vouchesOfNear) and \(Reachability.vouchesOfWide)"),
            ("", "all", "\(Reachability.maximumVouches)"),
            ("dial-backs under way", both, "\(responder.atOnceOfNear) and \(responder.atOnceOfWide)"),
            ("", "networks whose last dial was slow", "1 each, \(responder.atOnceOfSlow) together"),
            (
                "", "of nodes that this one has dialled there: \(both)",
                "\(responder.atOnceOfNearMet) and \(responder.atOnceOfWideMet) besides"
            ),
            ("", "all", "\(responder.atOnce)"),
            ("dial-backs in \(Self.seconds(responder.span)) s", "source, key", "\(responder.dialsPerSource)"),
            ("", both, "\(responder.dialsPerNear) and \(responder.dialsPerWide)"),
            ("dial-backs a second", "all", "\(responder.dialsPerSecond)"),
        ]
        let written = expected.map { count, by, bound in
            count.isEmpty ? "| | \(by) | \(bound) |" : "| \(count) | \(by) | \(bound) |"
        }
        #expect(try Self.rows() == written)
        #expect(hosts.longestPause == .seconds(3_600) && probes.doubtSpan == .seconds(3_600))
        #expect(responder.dialsPerSource == responder.dialsPerKey)
    }
}
