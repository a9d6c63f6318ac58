import FoundationEssentials

/// The content of one of the two registries.
public protocol RegistryDocument: Codable, Hashable, Sendable {
    /// An empty one.
    init()
    static func path(in paths: HomePaths) -> String

    associatedtype Row: Hashable
    var rows: [Row] { get set }
    /// The key of the list.
    static var listName: String { get }
    /// What the types of the fields cannot say, as the key and what is wrong there; the schemas in `json/schema` say
    /// the same.
    static func misfit(in row: Row) -> (key: String, problem: String)?
}

/// A field of a registry that breaks the format.
public struct RegistryFault: Error, Hashable, Sendable, CustomStringConvertible {
    /// Such as `reverse_proxy_mappings[0].blind_port`; `document` when it is the text as a whole.
    public let field: String
    public let problem: String

    init(field: String, problem: String) {
        self.field = field
        self.problem = problem
    }

    public var description: String { "\(field): \(problem)" }

    /// What a decoder says, with the field in front.
    init(_ error: any Error) {
        switch error {
        case let fault as RegistryFault:
            self = fault
        case DecodingError.keyNotFound(let key, let context):
            self.init(field: Self.field(context.codingPath + [key]), problem: "it is missing")
        case DecodingError.typeMismatch(let type, let context):
            self.init(field: Self.field(context.codingPath), problem: "it is no \(type)")
        case DecodingError.valueNotFound(_, let context):
            self.init(field: Self.field(context.codingPath), problem: "it is null")
        case DecodingError.dataCorrupted(let context):
            self.init(field: Self.field(context.codingPath), problem: context.debugDescription)
        default:
            self.init(field: "document", problem: "\(error)")
        }
    }

    private static func field(_ path: [any CodingKey]) -> String {
        guard !path.isEmpty else { return "document" }
        var text = ""
        for key in path {
            if let index = key.intValue {
                text += "[\(index)]"
            } else {
                text += text.isEmpty ? key.stringValue : ".\(key.stringValue)"
            }
        }
        return text
    }
}

extension RegistryDocument {
    public func validate() throws(RegistryFault) {
        for (index, row) in rows.enumerated() {
            guard let misfit = Self.misfit(in: row) else { continue }
            throw RegistryFault(field: "\(Self.listName)[\(index)].\(misfit.key)", problem: misfit.problem)
        }
    }

    /// Takes rows out that no file may hold, and says what is wrong with them: one of them costs itself, never the
    /// others.
    public mutating func leaveOutMisfits() -> [RegistryFault] {
        var faults: [RegistryFault] = []
        rows.removeAll { row in
            guard let misfit = Self.misfit(in: row) else { return false }
            faults.append(RegistryFault(field: "\(Self.listName).\(misfit.key)", problem: misfit.problem))
            return true
        }
        return faults
    }

    /// Reads and validates the text of a file. Keys that this version does not know are passed over.
    public init(json bytes: [UInt8]) throws(RegistryFault) {
        do {
            self = try JSONDecoder().decode(Self.self, from: Data(bytes))
        } catch {
            throw RegistryFault(error)
        }
        try validate()
    }

    /// The text of the file: keys in the order of the format, indented by two, one newline at the end.
    public func json() throws(RegistryFault) -> [UInt8] {
        try validate()
        do {
            return try OrderedJSON.encode(self)
        } catch {
            throw RegistryFault(error)
        }
    }
}
