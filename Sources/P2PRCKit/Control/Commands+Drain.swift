internal import FoundationEssentials
internal import PeerStorage

/// Emptying a relay before it is stopped.
extension Commands {
    /// Waits until it is empty, unless told not to.
    ///
    /// - Parameter within: until visitors and peers that are still there are sent away, as `Age` reads it.
    public func drain(within: String, waits: Bool) throws(CommandError) -> ExitStatus {
        guard let seconds = Age.seconds(within) else {
            throw CommandError(
                .usage, "--within \(within): write a number of hours, minutes or seconds, such as 10m or 0s")
        }
        var reply = try ask(DrainVerb(order: .begin(seconds: seconds)))
        var told = ""
        while waits, reply.status == .success, let left = document(reply), left.Sessions > 0 || left.Visitors > 0 {
            if reply.text != told { Output.error("p2prc: \(reply.text)") }
            told = reply.text
            reply = try ask(DrainVerb(order: .news(sessions: left.Sessions, visitors: left.Visitors)))
            guard document(reply)?.Draining == true else {
                throw CommandError(.refused, "somebody took it back meanwhile (drain --undo); the relay stays")
            }
        }
        return finish(reply)
    }

    public func stopDraining() throws(CommandError) -> ExitStatus { finish(try ask(DrainVerb(order: .undo))) }

    private func document(_ reply: ControlReply) -> DrainDocument? {
        reply.document.flatMap { try? JSONDecoder().decode(DrainDocument.self, from: Data($0.utf8)) }
    }
}
