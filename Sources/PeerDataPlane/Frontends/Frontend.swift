/// Where somebody comes in who wants to go somewhere: a public port, a data channel. It makes calls and hands them to
/// its lane. Belongs to the lane's loop.
package protocol Frontend: AnyObject {
    /// Called four times a second at a relay.
    func timePassed()
}

extension Frontend {
    package func timePassed() {}
}
