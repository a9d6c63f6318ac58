internal import FoundationEssentials

/// Which process listens on a TCP port of this machine, as far as proc(5) tells this user.
enum PortHolder {
    /// `PID 123 (nginx)`; `nil` where nobody tells: the process is another user's, or nothing listens.
    static func text(ofPort port: UInt16) -> String? {
        let sockets = Set(["/proc/net/tcp", "/proc/net/tcp6"].flatMap { listeners(in: $0, on: port) })
        guard !sockets.isEmpty, let entries = try? FileManager.default.contentsOfDirectory(atPath: "/proc") else {
            return nil
        }
        for process in entries.compactMap({ Int32($0) }) where holds(process, sockets) {
            let name = (try? String(contentsOfFile: "/proc/\(process)/comm", encoding: .utf8)) ?? ""
            // A process names itself as it likes.
            let shown = name.filter { $0.isASCII && ($0.isLetter || $0.isNumber || "-_.:/+".contains($0)) }
            return "PID \(process)" + (shown.isEmpty ? "" : " (\(shown))")
        }
        return nil
    }

    /// The inodes of sockets that listen there.
    private static func listeners(in table: String, on port: UInt16) -> [String] {
        guard let text = try? String(contentsOfFile: table, encoding: .utf8) else { return [] }
        return text.split(separator: "\n").dropFirst().compactMap { line in
            // sl local_address rem_address st tx_queue:rx_queue tr:tm->when retrnsmt uid timeout inode
            let fields = line.split(separator: " ")
            guard fields.count > 9, fields[3] == "0A", let colon = fields[1].lastIndex(of: ":"),
                UInt16(fields[1][colon...].dropFirst(), radix: 16) == port
            else { return nil }
            return "socket:[\(fields[9])]"
        }
    }

    private static func holds(_ process: Int32, _ sockets: Set<String>) -> Bool {
        let folder = "/proc/\(process)/fd"
        guard let files = try? FileManager.default.contentsOfDirectory(atPath: folder) else { return false }
        return files.contains { file in
            (try? FileManager.default.destinationOfSymbolicLink(atPath: "\(folder)/\(file)")).map(sockets.contains)
                ?? false
        }
    }
}
