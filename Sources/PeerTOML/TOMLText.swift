internal import CTOML
internal import PeerWire

/// Reads TOML 1.0 (https://toml.io/en/v1.0.0) with toml++, behind limits of our own (`TOMLGuard`): the library sees
/// text of a sound form and size alone, and says what else is wrong with it.
public enum TOMLText {
    /// Bytes; a longer text is no configuration.
    public static let longest = 1 << 20

    /// Fails with the first thing that is wrong, from the top of the text.
    public static func read(_ bytes: [UInt8]) throws(TOMLFault) -> TOMLTable {
        guard bytes.count <= longest else { throw TOMLFault(line: nil, text: "it is longer than \(longest) bytes") }
        // The mark that some editors put in front; it is no part of the text.
        let mark = Array("\u{feff}".utf8)
        let text = bytes.starts(with: mark) ? Array(bytes.dropFirst(mark.count)) : bytes
        guard String(validating: text, as: UTF8.self) != nil, !text.contains(0) else {
            throw TOMLFault(line: nil, text: "it is not text in UTF-8")
        }
        var limits = TOMLGuard(text)
        try limits.check()

        let document = text.withUnsafeBytes { buffer in
            ctoml_parse(buffer.baseAddress?.assumingMemoryBound(to: CChar.self), buffer.count)
        }
        guard let document else { throw TOMLFault(line: nil, text: "there is no memory to read it") }
        defer { ctoml_free(document) }
        if let fault = fault(in: document) { throw fault }
        var next = 0
        guard case .table(let table) = value(in: document, at: &next).kind else { return TOMLTable() }
        return table
    }

    private static func fault(in document: OpaquePointer) -> TOMLFault? {
        var (count, line, column): (Int, UInt32, UInt32) = (0, 0, 0)
        guard let words = ctoml_fault(document, &count, &line, &column) else { return nil }
        return TOMLFault(
            line: line > 0 ? Int(line) : nil, column: column > 0 ? Int(column) : nil,
            text: told(string(words, count)))
    }

    /// The library's words without its own name for what it does. They may repeat any of the text.
    private static func told(_ words: String) -> String {
        let beginning = "Error while parsing "
        let rest = words.hasPrefix(beginning) ? String(words.dropFirst(beginning.count)) : words
        // It spells what it thinks does not show in its own way.
        return String(PlainText.spelled(rest.replacing("\\u", with: "U+")).prefix(200))
    }

    /// The item at `next`, with what follows it as its entries; goes on behind them. As deep as `TOMLGuard` lets it be.
    private static func value(in document: OpaquePointer, at next: inout Int) -> TOMLValue {
        let item = ctoml_at(document, next)
        next += 1
        let kind: TOMLValue.Kind
        switch item.kind {
        case ctoml_text: kind = .text(string(item.text, item.text_count))
        case ctoml_number: kind = .number(Int(item.number))
        case ctoml_flag: kind = .flag(item.number != 0)
        case ctoml_fraction: kind = .fraction
        case ctoml_list:
            var list: [TOMLValue] = []
            for _ in 0..<item.entries { list.append(value(in: document, at: &next)) }
            kind = .list(list)
        case ctoml_table:
            var table = TOMLTable()
            for _ in 0..<item.entries {
                let entry = ctoml_at(document, next)
                table.entries[string(entry.key, entry.key_count)] = value(in: document, at: &next)
            }
            kind = .table(table)
        default: kind = .date
        }
        return TOMLValue(kind, line: Int(item.line), column: Int(item.column))
    }

    private static func string(_ start: UnsafePointer<CChar>?, _ count: Int) -> String {
        String(decoding: UnsafeRawBufferPointer(start: start, count: count), as: UTF8.self)
    }
}
