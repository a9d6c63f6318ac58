package import PeerCore
package import PeerReactor
internal import PeerWire

/// The peer's way out: a call to one of its own mappings leaves by a connection to the target.
package final class Targets: Egress {
    package static let name = EgressName(rawValue: "target")

    package let offer = Router.Offer(name, to: .own, for: [.visitor])
    private weak var lane: Lane?
    private let routes: RouteTable
    private let share: DescriptorShare
    private let report: @Sendable (PeerLane.Report) -> Void

    package init(
        on lane: Lane, routes: RouteTable, share: DescriptorShare,
        report: @escaping @Sendable (PeerLane.Report) -> Void
    ) {
        self.lane = lane
        self.routes = routes
        self.share = share
        self.report = report
    }

    package func take(_ call: consuming Call) {
        guard let lane, let loan = call.terms.loan else { return }
        guard let route = routes[call.terms.destination], Int(call.terms.portOffset) < route.count,
            route.protocols.contains(.tcp)
        else {
            return lane.pass(call)
        }
        guard let address = route.address(call.terms.portOffset) else {
            if route.addresses.isEmpty { failed(call.terms, "its name cannot be looked up") }
            return lane.refuse(call)
        }
        let target: Stream
        do throws(SystemError) {
            let opened = try Connector.open(address, .atTheEdge)
            guard share.hasRoom(for: loan.node, opened.openDescriptors - 1) else { throw .outOfDescriptors }
            target = opened
        } catch {
            if error.isOutOfDescriptors {
                // For want of descriptors, which is no fault of the target.
                share.dialled?.ranShort(loan)
            } else {
                failed(call.terms, error.text)
            }
            return lane.refuse(call)
        }
        share.began(for: loan.node)
        lane.count(call.terms.destination) { $0.connections += 1 }
        let (terms, input) = (call.terms, call.read)
        let header = terms.visitor.map { route.header(.connection, for: $0, at: loan.node, terms.portOffset) } ?? []
        let ends = Visit.Ends(caller: call.intoStream(), way: target, isConnecting: true, early: header)
        lane.begin(
            Visit(on: lane, terms, loan, by: self, ends), channel: .left, input: input, isLeftRegistered: true,
            isRightRegistered: false)
    }

    package func ended(_ visit: Visit, _ ending: Forwarder.Ending) {
        share.ended(for: visit.loan.node)
        guard case .neverConnected(let error) = ending else { return }
        if error.isOutOfDescriptors {
            report(.ranShort)
        } else {
            failed(visit.destination, visit.portOffset, error.text)
        }
    }

    private func failed(_ terms: Call.Terms, _ reason: String) { failed(terms.destination, terms.portOffset, reason) }

    /// A visitor of a port that is known to be down says nothing new with that.
    private func failed(_ destination: Destination, _ port: UInt16, _ reason: String) {
        guard case .own(let mapping) = destination, let route = routes[mapping], route.services.tcp.silent[port] == nil
        else {
            return
        }
        report(.targetFailed(mapping, port: port, over: .tcp, reason))
    }
}
