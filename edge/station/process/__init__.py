"""What the child processes of a station share: start and end of a child, messages, the frame ring."""
