import ArgumentParser
import P2PRCKit

/// Lines for command lines that cannot be parsed: what is wrong, what may have been meant, and where to read on.
enum Mistakes {
    /// - Parameters:
    ///   - message: what the parser says.
    ///   - whole: the same with its pointer to the help of the command that was meant.
    ///   - words: the command line.
    static func line(_ message: String, _ whole: String, _ words: some Sequence<String>) -> String {
        let first = String(message.split(separator: "\n").first ?? "")
        let help = between("See '", "'", in: whole) ?? "p2prc --help"
        let path = help.split(separator: " ").map(String.init).dropFirst().filter { !$0.hasPrefix("-") }
        let command = find(path).command
        for beginning in ["Unknown option '", "Unexpected argument '", " unexpected arguments: '"] {
            guard let word = between(beginning, "'", in: first) else { continue }
            let what =
                beginning.hasPrefix("Unknown") ? "there is no option \(word)" : "there is no command \(word) here"
            let advice = nearMiss(of: command).advice(for: word) ?? "\(help) lists what there is"
            return "\(what); \(advice)"
        }
        // What is missing may be there, mistyped.
        if first.hasPrefix("Missing"), let word = unknownFlag(in: words, of: command) {
            return "\(first); there is no option \(word)"
                + (nearMiss(of: command).advice(for: word).map { "; \($0)" } ?? "; see \(help)")
        }
        return "\(first); see \(help)"
    }

    private static func unknownFlag(in words: some Sequence<String>, of command: any ParsableCommand.Type) -> String? {
        let known = flags(in: P2PRC.helpMessage(for: command)) + flags(in: P2PRC.helpMessage())
        return words.first { word in
            word.hasPrefix("--") && word.utf8.count > 2 && !known.contains(String(word.prefix { $0 != "=" }))
        }
    }

    /// `help` with words that are no command is a mistake too, though the parser answers it with the help of what is.
    static func refuseUnknownHelp(_ words: [String]) throws {
        guard words.first == "help" else { return }
        let found = find(words.dropFirst().filter { !$0.hasPrefix("-") })
        guard let word = found.rest.first else { return }
        let advice = nearMiss(of: found.command).advice(for: word) ?? "p2prc --help lists what there is"
        throw CommandError(.usage, "there is no command \(word); \(advice)")
    }

    /// The command that words lead to, and those that lead no further.
    private static func find(_ words: some Sequence<String>) -> (command: any ParsableCommand.Type, rest: [String]) {
        var command: any ParsableCommand.Type = P2PRC.self
        var rest = Array(words)
        while let word = rest.first,
            let next = command.configuration.subcommands.first(where: { $0._commandName == word })
        {
            command = next
            rest.removeFirst()
        }
        return (command, rest)
    }

    private static func nearMiss(of command: any ParsableCommand.Type) -> NearMiss {
        NearMiss(
            flags: flags(in: P2PRC.helpMessage(for: command)),
            subcommands: command.configuration.subcommands.map { $0._commandName },
            isRoot: command == P2PRC.self)
    }

    /// Options are listed as `  -s, --Server  what it does`.
    private static func flags(in help: String) -> [String] {
        help.split(separator: "\n").filter { $0.hasPrefix("  -") }.flatMap { line in
            line.split { $0 == " " || $0 == "," }.filter { $0.hasPrefix("--") }.map(String.init)
        }
    }

    private static func between(_ before: String, _ after: Character, in text: String) -> String? {
        var rest = text[...]
        while !rest.isEmpty {
            if rest.hasPrefix(before) { return String(rest.dropFirst(before.count).prefix { $0 != after }) }
            rest = rest.dropFirst()
        }
        return nil
    }
}
