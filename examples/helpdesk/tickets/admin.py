from django.contrib import admin

from tickets.models import Agent, Message, Organisation, Ticket


@admin.register(Organisation)
class OrganisationAdmin(admin.ModelAdmin):
    list_display = ["name", "slug"]
    prepopulated_fields = {"slug": ["name"]}


@admin.register(Agent)
class AgentAdmin(admin.ModelAdmin):
    list_display = ["user", "team"]
    list_select_related = ["user"]
    list_filter = ["team", "organisations"]
    filter_horizontal = ["organisations"]


class MessageInline(admin.StackedInline):
    model = Message
    extra = 0


@admin.register(Ticket)
class TicketAdmin(admin.ModelAdmin):
    list_display = ["subject", "organisation", "customer_name", "status", "priority", "opened_at"]
    list_select_related = ["organisation"]
    list_filter = ["status", "priority", "category", "organisation"]
    search_fields = ["subject", "customer_name", "customer_email"]
    inlines = [MessageInline]
