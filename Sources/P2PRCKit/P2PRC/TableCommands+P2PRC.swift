internal import FoundationEssentials
internal import Glibc
internal import PeerReactor
internal import PeerStorage
internal import PeerWire

/// `export ip-table` and `import ip-table`: P2PRC's `ip_table.json`.
extension TableCommands {
    /// - Parameter file: `nil` or `-` for standard output.
    public func exportTable(to file: String?) async throws(CommandError) -> ExitStatus {
        let table = P2PRCRows.table(of: try await listing())
        guard let file, file != "-" else {
            Output.document(table.json(.file) + [UInt8(ascii: "\n")])
            return .success
        }
        do throws(StorageError) { try P2PRCTableFile.write(table, to: file) } catch {
            throw CommandError(.failure, "\(file) was not written: \(error.detail)")
        }
        try finish("\(table.rows.count) nodes are in \(file)", ExportDocument(File: file, Nodes: table.rows.count))
        return .success
    }

    /// - Parameter file: `-` for standard input.
    public func importTable(from file: String) async throws(CommandError) -> ExitStatus {
        let bytes = try text(of: file)
        let table: P2PRCTable
        do throws(P2PRCFault) { table = try P2PRCTable(json: bytes) } catch {
            throw CommandError(.damaged, "\(file) is no IP table of P2PRC: \(error); nothing was taken from it")
        }
        let (seeds, unusable) = P2PRCRows.seeds(of: table)
        var sum = ImportDocument(IPTable.SeedCount())
        sum.Unusable = unusable
        for start in stride(from: 0, to: seeds.count, by: TableCommand.importBatch) {
            let batch = Array(seeds[start...].prefix(TableCommand.importBatch))
            let reply = try await answer(to: .importSeeds(batch))
            guard reply.status == .success, let document = reply.document,
                let part = try? JSONDecoder().decode(ImportDocument.self, from: Data(document.utf8))
            else { throw CommandError(reply.status == .success ? .failure : reply.status, reply.text) }
            sum.Added += part.Added
            sum.Known += part.Known
            sum.Refused += part.Refused
        }
        try finish(sum.words, sum)
        return .success
    }

    private func finish(_ text: String, _ document: some Encodable) throws(CommandError) {
        if json { try printJSON(document) } else { Output.result(text) }
    }

    private func text(of file: String) throws(CommandError) -> [UInt8] {
        guard file == "-" else {
            do throws(StorageError) { return try P2PRCTableFile.read(file) } catch {
                let status: ExitStatus = error.kind == .missing ? .notFound : .damaged
                throw CommandError(status, "\(file) cannot be read: \(error.detail); name another file")
            }
        }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 65_536)
        // One more than a table may have is enough to refuse it.
        while bytes.count <= P2PRCTable.maximumByteCount {
            let count = Glibc.read(STDIN_FILENO, &chunk, chunk.count)
            guard count > 0 else { break }
            bytes += chunk[..<count]
        }
        return bytes
    }
}

/// What `export ip-table FILE` prints with `--json`.
struct ExportDocument: Encodable {
    var File: String
    var Nodes: Int
}

extension ImportDocument {
    var words: String {
        var words = Added == 1 ? "1 seed is added" : "\(Added) seeds are added"
        if Known > 0 { words += ", \(Known) were there already" }
        if Refused > 0 { words += ", \(Refused) found no room (\(IPTable.seedLimit) are the most)" }
        if Unusable > 0 {
            words += "; \(Unusable == 1 ? "1 row names" : "\(Unusable) rows name") no address that can be dialled"
        }
        return words
    }
}
