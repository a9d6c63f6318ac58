internal import PeerCore
internal import PeerTOML
internal import PeerWire

/// A type of value in the configuration: how it is read, and what to write instead of what cannot be read.
struct ConfigKind<Value> {
    let read: (TOMLValue) throws(ConfigRefusal) -> Value

    var optional: ConfigKind<Value?> {
        ConfigKind<Value?> { (value) throws(ConfigRefusal) in try self.read(value) }
    }

    fileprivate static func refuse(_ found: TOMLValue, _ wanted: String) -> ConfigRefusal {
        ConfigRefusal(text: "this is \(found.article); write \(wanted)")
    }
}

struct ConfigRefusal: Error {
    var text: String
}

extension ConfigKind<String> {
    static var text: Self {
        Self { (found) throws(ConfigRefusal) in
            guard case .text(let text) = found.kind else { throw refuse(found, "a text in quotes") }
            // As everybody else is told a text, so that a name is the same here and there.
            let clean = PlainText.cleaned(text)
            let hasControls = text.unicodeScalars.contains { $0.properties.generalCategory == .control }
            guard !clean.isEmpty, text.utf8.count <= 255, !hasControls else {
                throw ConfigRefusal(text: "write 1 to 255 bytes on one line, or leave the key out")
            }
            return clean
        }
    }
}

extension ConfigKind<Bool> {
    static var flag: Self {
        Self { (found) throws(ConfigRefusal) in
            guard case .flag(let flag) = found.kind else { throw refuse(found, "true or false, without quotes") }
            return flag
        }
    }
}

extension ConfigKind<Int> {
    static func number(_ range: ClosedRange<Int>) -> Self {
        let wanted = "a number from \(range.lowerBound) to \(range.upperBound)"
        return Self { (found) throws(ConfigRefusal) in
            guard case .number(let number) = found.kind else { throw refuse(found, wanted) }
            guard range.contains(number) else {
                throw ConfigRefusal(text: "\(number) is out of range; write \(wanted)")
            }
            return number
        }
    }

    /// One or more of something.
    static var count: Self { number(1...Int(Int32.max)) }

    /// A number, or a text with a unit.
    static func bytes(from least: Int) -> Self {
        let wanted = "bytes from \(least) on as a number, or with a unit such as \"10MB\" or \"10MiB\""
        return Self { (found) throws(ConfigRefusal) in
            let bytes: Int?
            switch found.kind {
            case .number(let number): bytes = number
            case .text(let text): bytes = ByteCount.parse(text)
            case .flag, .list, .table, .fraction, .date: throw refuse(found, wanted)
            }
            guard let bytes, bytes >= least else { throw ConfigRefusal(text: "this is no amount; write \(wanted)") }
            return bytes
        }
    }
}

extension ConfigKind<UInt16> {
    static var port: Self {
        Self { (found) throws(ConfigRefusal) in
            UInt16(truncatingIfNeeded: try ConfigKind<Int>.number(1...65_535).read(found))
        }
    }
}

extension ConfigKind<PublicPorts> {
    static var ports: Self {
        let wanted = "ports from 1 to 65535, such as \"20000-29999\" or \"80, 443, 20000-29999\""
        return Self { (found) throws(ConfigRefusal) in
            guard case .text(let text) = found.kind else { throw refuse(found, wanted) }
            guard let ports = PublicPorts(text) else {
                throw ConfigRefusal(text: "\"\(text)\" is no range; write \(wanted)")
            }
            return ports
        }
    }
}

extension ConfigKind<[Network]> {
    static var networks: Self {
        let wanted = "a list of networks, such as [\"203.0.113.0/24\", \"2001:db8::/32\"]"
        return Self { (found) throws(ConfigRefusal) in
            guard case .list(let list) = found.kind else { throw refuse(found, wanted) }
            var networks: [Network] = []
            for entry in list {
                guard case .text(let text) = entry.kind else { throw refuse(entry, wanted) }
                do throws(NetworkFault) {
                    networks.append(try Network(text))
                } catch { throw ConfigRefusal(text: error.description) }
            }
            return networks
        }
    }
}
