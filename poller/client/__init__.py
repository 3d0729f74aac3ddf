"""What people ask and order, whatever the face."""
