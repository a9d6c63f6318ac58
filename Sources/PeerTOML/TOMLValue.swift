/// A value in a TOML document, and where it stands: its key, or in a list the value itself. Both count from 1.
public struct TOMLValue: Hashable, Sendable {
    public enum Kind: Hashable, Sendable {
        case text(String)
        case number(Int)
        case flag(Bool)
        case list([TOMLValue])
        case table(TOMLTable)
        /// A number with a point, and a date or time: told apart, for no key of ours takes one.
        case fraction, date
    }

    public var kind: Kind
    public var line: Int
    public var column: Int

    public init(_ kind: Kind, line: Int = 1, column: Int = 1) {
        self.kind = kind
        self.line = line
        self.column = column
    }

    /// What it is called, for people.
    public var article: String {
        switch kind {
        case .text: "text in quotes"
        case .number: "a number"
        case .flag: "true or false"
        case .list: "a list"
        case .table: "a table"
        case .fraction: "a number with a point"
        case .date: "a date or time"
        }
    }
}

public struct TOMLTable: Hashable, Sendable {
    public var entries: [String: TOMLValue]

    public init(_ entries: [String: TOMLValue] = [:]) { self.entries = entries }

    /// The table of that name; `nil` when there is none, or something else.
    public func table(_ name: String) -> TOMLTable? {
        if case .table(let table)? = entries[name]?.kind { table } else { nil }
    }
}

/// What is wrong in a text: in one line of plain characters, whatever the text is.
public struct TOMLFault: Error, Hashable, Sendable, CustomStringConvertible {
    /// `nil` where it is the text as a whole.
    public var line: Int?
    public var column: Int?
    public var text: String

    public init(line: Int?, column: Int? = nil, text: String) {
        self.line = line
        self.column = column
        self.text = text
    }

    public var description: String {
        (line.map { "line \($0): " } ?? "") + text + (column.map { " (column \($0))" } ?? "")
    }
}
