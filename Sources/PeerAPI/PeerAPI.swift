/// Begins with the next commits.
enum PeerAPIModule {}
