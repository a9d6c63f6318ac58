/// Begins with the next commits.
enum PeerTokensModule {}
