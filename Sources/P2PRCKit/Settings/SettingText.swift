/// What is written of the settings, made of their table: pages, the example, a schema, and the help of flags.
public enum SettingText {
    /// The help of a flag that sets what a key of the file sets too: in which mode, what, and the default.
    public static func help(of flag: String) -> String {
        guard let setting = SettingTable.shipped.settings.first(where: { $0.flag == flag }) else { return "" }
        let mode = setting.isForRelay ? "With --reverse-proxy: " : "With -s: "
        let help = setting.help.prefix { $0 != ";" }
        if setting.isToggle { return mode + help + "." }
        return mode + help + (setting.isList ? "; may be repeated." : " (default: \(setting.standard)).")
    }

    static func quoted(_ text: String) -> String {
        "\"" + text.map { $0 == "\"" || $0 == "\\" ? "\\\($0)" : "\($0)" }.joined() + "\""
    }

    static func bare(_ literal: String) -> String {
        literal.hasPrefix("\"") ? String(literal.dropFirst().dropLast()) : literal
    }

    /// The keys in docs/files.md, a point of a list each.
    static func list(of table: SettingTable = .shipped) -> [String] {
        table.settings.flatMap { setting in
            let flag = setting.flag.map { "; `\($0)`" } ?? ""
            let values = "\(setting.words); default: \(setting.standard)\(flag)"
            let who = setting.isForRelay ? "relay: " : ""
            return wrapped("`\(setting.name)` (\(values)): \(who)\(setting.help).", first: "-", others: " ")
        }
    }

    // MARK: The example

    /// docs/config.example.toml: every key, those without a fixed default as remarks.
    static func example(of table: SettingTable = .shipped) -> String {
        var lines = [
            "# config.toml of a p2prc node, in its home. Every key may be left out; what stands here are the defaults.",
            "# Flags win over this file. Keys without a fixed default are commented out.",
        ]
        for setting in table.settings where setting.section == nil { lines += [""] + exampleLines(of: setting) }
        for (name, remark) in table.sections {
            lines += [""] + wrapped(remark) + ["[\(name)]"]
            for setting in table.settings where setting.section == name { lines += exampleLines(of: setting) }
        }
        return lines.joined(separator: "\n") + "\n"
    }

    private static func exampleLines(of setting: Setting) -> [String] {
        let who = setting.isForRelay && setting.section == nil ? "Relay: " : ""
        let standard = setting.standardText == nil ? "; default: \(setting.standard)" : ""
        let flag = setting.flag.map { "; \($0)" } ?? ""
        let text = "\(who)\(plain(setting.help)) (\(setting.words)\(standard)\(flag))."
        let sentence = text.prefix(1).uppercased() + text.dropFirst()
        let line = "\(setting.key) = \(setting.example)"
        return wrapped(sentence) + [setting.standardText == nil ? "# " + line : line]
    }

    /// Without what is meant for a page with links.
    private static func plain(_ help: String) -> String {
        help.replacing("[p2prc.md](p2prc.md)", with: "docs/p2prc.md").replacing("\"Hook\"", with: "docs/files.md")
    }

    private static func wrapped(_ text: String, first: String = "#", others: String = "#") -> [String] {
        var lines: [String] = []
        var line = first
        for word in text.split(separator: " ") {
            if line.count + 1 + word.count > 120 {
                lines.append(line)
                line = others
            }
            line += " " + word
        }
        return lines + [line]
    }

    // MARK: The schema

    /// json/schema/config.schema.json, for editors.
    static func schema(of table: SettingTable = .shipped) -> String {
        var blocks = table.settings.filter { $0.section == nil }.map { property($0, indent: "        ") }
        for (name, remark) in table.sections {
            let inner = table.settings.filter { $0.section == name }.map { property($0, indent: "                ") }
            blocks.append(
                """
                        \(quoted(name)): {
                            "description": \(quoted(remark)),
                            "type": "object",
                            "additionalProperties": false,
                            "properties": {
                \(inner.joined(separator: ",\n"))
                            }
                        }
                """)
        }
        return """
            {
                "$schema": "https://json-schema.org/draft/2020-12/schema",
                "title": "config.toml of a p2prc node",
                "type": "object",
                "additionalProperties": false,
                "properties": {
            \(blocks.joined(separator: ",\n"))
                }
            }

            """
    }

    private static func property(_ setting: Setting, indent: String) -> String {
        let standard = setting.standardText.map { ", \"default\": \($0)" } ?? ""
        let description = quoted(plain(setting.help))
        return "\(indent)\(quoted(setting.key)): { \"description\": \(description), \(setting.schema)\(standard) }"
    }
}
